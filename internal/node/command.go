package node

import (
	"github.com/spf13/cobra"
)

// NewCommand is `berth-node init`.
func NewCommand() *cobra.Command {
	return &cobra.Command{Use: "init", Short: "Run as PID 1 of a machine"}
}
