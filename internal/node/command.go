package node

import (
	"os"

	"github.com/spf13/cobra"
)

// insideFlag marks an agent machine's init that has entered its namespaces.
const insideFlag = "inside"

// NewCommand is `berth-node init`: PID 1 of a machine. It is not run by hand.
func NewCommand() *cobra.Command {
	var inside bool
	path := DefaultConfigPath
	command := &cobra.Command{
		Use: "init", Short: "Run as PID 1 of a machine: containerd and the kubelet, supervised", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := LoadConfig(path)
			if err != nil {
				return err
			}
			if config.Role == RoleAgent && !inside {
				return enterNamespaces([]string{os.Args[0], "init", "--" + insideFlag, "--config", path})
			}
			return Run(cmd.Context(), config, cmd.OutOrStdout())
		},
	}
	command.Flags().StringVar(&path, "config", path, "the machine's configuration")
	command.Flags().BoolVar(&inside, insideFlag, false, "the machine's namespaces have been entered")
	command.Flags().Lookup(insideFlag).Hidden = true
	return command
}
