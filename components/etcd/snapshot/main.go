// Command etcd-snapshot saves what an etcd holds to a file, and makes an etcd's
// data directory from such a file, or from the backups that a service has of it.
// All can be repeated after a death at any line, and do nothing when they find their
// work done.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root(hooks{step: func(string) {}, free: freeBytes}).ExecuteContext(ctx); err != nil {
		// The kubelet hands the last line on to whoever waits for the pod.
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}

// exitCode is 1 for whatever could not be done, and 2 for backups that are not what
// they should be.
func exitCode(err error) int {
	if errors.Is(err, errUnequal) {
		return 2
	}
	return 1
}

// root is the command line.
func root(h hooks) *cobra.Command {
	command := &cobra.Command{Use: "etcd-snapshot", Short: "Save and restore what an etcd holds", SilenceUsage: true, SilenceErrors: true}
	command.AddCommand(saveCommand(), restoreCommand(), recoverCommand(h), proveCommand(), lookCommand())
	command.AddCommand(childCommand[examination]("examine"), childCommand[inspection]("inspect"), childCommand[rebuilding]("rebuild"), childCommand[tail]("tail"))
	return command
}
