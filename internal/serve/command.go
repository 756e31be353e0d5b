package serve

import (
	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
)

// NewCommand makes `berth serve`, which runs until it is told to end.
func NewCommand() *cobra.Command {
	var options Options
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the service inside a management cluster",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return Run(ctrl.SetupSignalHandler(), options)
		},
	}
	options.addFlags(command.Flags())
	return command
}
