// Command etcd-snapshot saves what an etcd holds to a file, and makes an etcd's
// data directory from such a file. Both can be repeated after a death at any line,
// and do nothing when they find their work done.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{Use: "etcd-snapshot", Short: "Save and restore what an etcd holds", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(saveCommand(), restoreCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		// The kubelet hands the last line on to whoever waits for the pod.
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
