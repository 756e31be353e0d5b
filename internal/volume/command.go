package volume

import (
	"errors"
	"log/slog"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"berth.dev/berth/internal/watch"
)

// NewCommand returns `berth-node volumes`, which runs the local volume provisioner of one node until its context ends or
// it gets SIGTERM or SIGINT.
func NewCommand() *cobra.Command {
	var options Options
	var kubeconfig string
	command := &cobra.Command{
		Use:   "volumes",
		Short: "Provision local volumes on this node",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if options.NodeName == "" || options.Class == "" {
				return errors.New("--node-name and --class are required")
			}
			client, err := watch.NewClient(kubeconfig, "berth-volumes")
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(command.ErrOrStderr(), nil))
			ctx, stop := signal.NotifyContext(command.Context(), unix.SIGTERM, unix.SIGINT)
			defer stop()
			return Run(ctx, options, client, log)
		},
	}
	set := command.Flags()
	set.StringVar(&options.NodeName, "node-name", "", "name of this node's Node object")
	set.StringVar(&options.Class, "class", DefaultClass, "StorageClass to serve")
	set.StringVar(&options.Dir, "dir", DefaultDir, "directory of the volumes")
	set.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file; empty: the pod's service account")
	return command
}
