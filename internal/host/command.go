package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// NewUpCommand is `berth up`.
func NewUpCommand() *cobra.Command {
	var options UpOptions
	var noDemo bool
	command := &cobra.Command{
		Use:   "up",
		Short: "Bring Berth up on this host",
		Long: `Bring Berth up on this host: a one-machine management cluster with Berth in it, and unless
told otherwise a first cluster "demo" with a small workload. Run it again at any time: it goes on
from wherever it was, and changes nothing that is as it should be.

With --restore it first brings Berth and all its clusters back on a machine that has neither, from
the store that their backups went to and a copy of the recovery key (pki/berth/recovery.key of the
state directory).`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			options.Out, options.Demo = command.OutOrStdout(), !noDemo && options.Restore == ""
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, unix.SIGTERM)
			defer stop()
			err := Up(ctx, options)
			if errors.Is(err, context.Canceled) {
				return errors.New("interrupted: \"berth up\" goes on from here, \"berth down\" takes it all away")
			}
			return err
		},
	}
	command.Flags().BoolVar(&noDemo, "no-demo", false, "do not make the cluster \"demo\"")
	command.Flags().StringVar(&options.Restore, "restore", "", "bring back what this store has, a URL such as file:///backups or s3://bucket; the state directory must be empty")
	command.Flags().StringVar(&options.RecoveryKey, "recovery-key", "", "file with the recovery key of what is restored (default: the one in the state directory)")
	command.Flags().StringArrayVar(&options.Locations, "location", nil, "a location that clusters can be in, the first being the default (repeatable; "+DefaultLocation+")")
	addStateDir(command, &options.StateDir)
	addBuildDir(command, &options.BuildDir)
	return command
}

// NewDownCommand is `berth down`.
func NewDownCommand() *cobra.Command {
	var options DownOptions
	command := &cobra.Command{
		Use:   "down",
		Short: "Take Berth down and leave the host as it was found",
		Long: `End the management machine and all clusters in it, and give the host back its network, cgroups
and settings. Clusters are kept on disk and come back with "berth up", unless --purge deletes them.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			options.Out = command.OutOrStdout()
			return Down(command.Context(), options)
		},
	}
	command.Flags().BoolVar(&options.Purge, "purge", false, "also delete the state directory, and with it every cluster")
	addStateDir(command, &options.StateDir)
	return command
}

// NewStatusCommand is `berth status`.
func NewStatusCommand() *cobra.Command {
	var stateDir, output string
	command := &cobra.Command{
		Use:   "status",
		Short: "Show the management cluster, Berth and all clusters",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return fmt.Errorf("output is %q, want table or json", output)
			}
			status, err := ReadStatus(command.Context(), stateDir)
			if err != nil {
				return err
			}
			if output == "json" {
				return status.JSON(command.OutOrStdout())
			}
			return status.Print(command.OutOrStdout(), time.Now())
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	addStateDir(command, &stateDir)
	return command
}

// NewEnvCommand is `berth env`.
func NewEnvCommand() *cobra.Command {
	var stateDir, engineer string
	command := &cobra.Command{
		Use:   "env",
		Short: "Print the environment that az, the Azure SDKs and berth itself need",
		Long: `Print the environment that az, the Azure SDKs and berth itself need, for a shell to read:

    eval "$(berth env)"

The output holds the client secret.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			variables, err := Environment(stateDir)
			if engineer != "" {
				variables, err = EngineerEnvironment(stateDir, engineer)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(command.OutOrStdout(), exports(variables))
			return err
		},
	}
	command.Flags().StringVar(&engineer, "engineer", "", "log in as this engineer of support instead, such as "+EngineerName)
	addStateDir(command, &stateDir)
	return command
}

// NewHostRunCommand is `berth host`, whose parts berth starts itself: `run` is
// the supervisor and `machine` the first process of the machine.
func NewHostRunCommand() *cobra.Command {
	host := &cobra.Command{Use: "host", Short: "Parts of berth up", Hidden: true, Args: cobra.NoArgs}
	var stateDir, buildDir string
	run := &cobra.Command{
		Use:   "run",
		Short: "Supervise the management machine until told to end",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			paths, err := NewPaths(stateDir)
			if err != nil {
				return err
			}
			artifacts, err := FindArtifacts(buildDir)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, unix.SIGTERM)
			defer stop()
			return runSupervisor(ctx, paths, artifacts)
		},
	}
	addStateDir(run, &stateDir)
	addBuildDir(run, &buildDir)
	machine := &cobra.Command{
		Use:   "machine",
		Short: "Become the first process of the management machine",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return runStage() },
	}
	host.AddCommand(run, machine)
	return host
}

func addStateDir(command *cobra.Command, into *string) {
	command.Flags().StringVar(into, "state-dir", DefaultStateDir, "where Berth keeps its state")
}

func addBuildDir(command *cobra.Command, into *string) {
	command.Flags().StringVar(into, "build-dir", DefaultBuildDir(), "where \"berth build\" left its outputs")
}
