// Command berth is Berth's command line: it builds, runs and serves Berth, and speaks to one over its API.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"berth.dev/berth/internal/cli"
	"berth.dev/berth/internal/host"
	"berth.dev/berth/internal/image"
	"berth.dev/berth/internal/serve"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	program := cli.Program{
		Version: image.Version,
		Commands: []*cobra.Command{
			image.NewBuildCommand(), host.NewUpCommand(), host.NewDownCommand(), host.NewStatusCommand(),
			host.NewEnvCommand(), host.NewHostRunCommand(), serve.NewCommand(),
		},
		HostEnvironment: hostEnvironment,
	}
	code := program.Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
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
