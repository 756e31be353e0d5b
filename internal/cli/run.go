package cli

import (
	"context"

	"github.com/spf13/cobra"

	"berth.dev/berth/internal/host"
	"berth.dev/berth/internal/image"
	"berth.dev/berth/internal/serve"
)

// Run executes args with all of Berth's commands and returns the exit code; see Program.Run.
func Run(ctx context.Context, args []string, streams Streams) int {
	program := Program{
		Version: image.Version,
		Commands: []*cobra.Command{
			image.NewBuildCommand(), image.NewNodeImageCommand(), host.NewReleaseCommand(), host.NewUpCommand(), host.NewDownCommand(), host.NewStatusCommand(),
			host.NewEnvCommand(), host.NewHostRunCommand(), serve.NewCommand(),
		},
		HostEnvironment: hostEnvironment,
	}
	return program.Run(ctx, args, streams)
}

// hostEnvironment is what `berth env` prints.
func hostEnvironment(stateDir string) (map[string]string, error) {
	variables, err := host.Environment(stateDir)
	out := make(map[string]string, len(variables))
	for _, variable := range variables {
		out[variable.Name] = variable.Value
	}
	return out, err
}
