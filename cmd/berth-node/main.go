// Command berth-node is what a machine runs: its PID 1, its network agent and its volume provisioner.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"berth.dev/berth/internal/network"
	"berth.dev/berth/internal/node"
	"berth.dev/berth/internal/volume"
)

func main() {
	root := &cobra.Command{Use: "berth-node", SilenceUsage: true, SilenceErrors: true,
		Short: "Run a machine: its init, its network agent and its volume provisioner"}
	root.AddCommand(node.NewCommand(), node.NewRunCommand(), network.NewCommand(), volume.NewCommand())
	if err := root.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "berth-node:", err)
		os.Exit(1)
	}
}
