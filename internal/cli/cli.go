package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// The exit codes, as az has them.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitNotFound = 3
)

// Streams are the standard streams of a run.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Program is the command line and what it gets from other packages.
type Program struct {
	// Version is what `berth version` shows; empty means what the build recorded.
	Version string
	// Commands are those of other packages: up, down, build, serve and so on.
	Commands []*cobra.Command
	// HostEnvironment reads what `berth up` left on this host for its clients: the variables that `berth env` prints.
	// It is asked when BERTH_ENDPOINT is not set. Nil means that there is no such host.
	HostEnvironment func(stateDir string) (map[string]string, error)
	// Getenv reads the environment; nil means os.Getenv.
	Getenv func(string) string
}

// Run executes args, the command line without the program's name, and returns the exit code: 0, 1 for a failure, 2 for a
// wrong command line, 3 for something that does not exist.
func (p Program) Run(ctx context.Context, args []string, streams Streams) int {
	if p.Getenv == nil {
		p.Getenv = os.Getenv
	}
	s := &session{program: p, streams: streams}
	root := s.root()
	root.SetArgs(spreadLists(args))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !s.started {
		err = usage(err)
	} else {
		err = s.transport.cause(err)
	}
	fmt.Fprintln(streams.Err, explain(err))
	return exitCode(err)
}

func (s *session) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "berth",
		Short: "Your own managed Kubernetes service",
		Long: `Berth is a managed Kubernetes service that you run yourself. It behaves like Azure Kubernetes
Service and speaks its API: what berth does here, az, the Azure SDKs and Terraform can do too.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(s.streams.In)
	root.SetOut(s.streams.Out)
	root.SetErr(s.streams.Err)
	root.AddGroup(
		&cobra.Group{ID: groupService, Title: "The service on this host:"},
		&cobra.Group{ID: groupResource, Title: "Resources:"},
	)
	for _, command := range s.program.Commands {
		command.GroupID = groupService
		root.AddCommand(command)
	}
	for _, command := range []*cobra.Command{
		s.groupCommand(), s.clusterCommand(), s.nodePoolCommand(), s.machineCommand(), s.maintenanceCommand(), s.lockCommand(), s.eventCommand(), s.supportCommand(),
		s.monitorCommand(), s.featureCommand(), s.quotaCommand(), s.vulnerabilityCommand(), s.issueCommand(), s.roadmapCommand(), s.rolloutCommand(),
	} {
		command.GroupID = groupResource
		root.AddCommand(command)
	}
	s.addReleaseNotes(root)
	root.AddCommand(s.loginCommand(), s.versionCommand())
	root.InitDefaultCompletionCmd()
	s.prepare(root)
	return root
}

const (
	groupService  = "service"
	groupResource = "resource"
)

// prepare makes the whole tree tell a wrong command line from a command that failed.
func (s *session) prepare(command *cobra.Command) {
	switch run := command.RunE; {
	case run != nil:
		command.RunE = func(command *cobra.Command, args []string) error {
			s.started = true
			return run(command, args)
		}
	case command.Run == nil:
		command.RunE = func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.Help()
			}
			return fmt.Errorf("unknown command %q for %q", args[0], command.CommandPath())
		}
	}
	for _, child := range command.Commands() {
		s.prepare(child)
	}
}

// usageError is a wrong command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error) error {
	var already usageError
	if errors.As(err, &already) {
		return err
	}
	return usageError{err}
}
