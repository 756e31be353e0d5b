package network

import (
	"github.com/spf13/cobra"
)

// NewCommand returns `berth-node network`, which runs the network agent of one node until its context ends.
func NewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "network",
		Short: "Run the network agent of this node",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return nil
		},
	}
}
