package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"berth.dev/berth/internal/image"
	"berth.dev/berth/internal/registry"
	"berth.dev/berth/internal/release"
)

func releaseRemoveCommand() *cobra.Command {
	var options UpOptions
	command := &cobra.Command{
		Use:   "remove VERSION",
		Short: "Remove a version of Kubernetes that was added and that nothing uses",
		Long: `Takes a version of Kubernetes that "berth release add" built, or that an earlier build had, out of
the release catalogue, and removes its images from the build directory and the registry. One that a cluster,
a node pool, a deleted cluster that can be recovered or a snapshot uses stays, as do the versions of
every build. A Berth that is up on this host no longer offers it: clusters go on running meanwhile.`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			options.Out = command.OutOrStdout()
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, unix.SIGTERM)
			defer stop()
			err := removeRelease(ctx, args[0], options)
			if errors.Is(err, context.Canceled) {
				return fmt.Errorf("interrupted: run \"berth release remove %s\" again and it goes on where it was", args[0])
			}
			return err
		},
	}
	addStateDir(command, &options.StateDir)
	return command
}

// removeRelease removes a version that nothing uses. It is offered to nobody before it is
// looked for the last time who uses it, and only then are its images removed.
func removeRelease(ctx context.Context, version string, options UpOptions) error {
	root, err := repository()
	if err != nil {
		return err
	}
	if err := image.RemovableRelease(root, version); err != nil {
		return err
	}
	paths, err := NewPaths(options.StateDir)
	if err != nil {
		return err
	}
	// What an alias such as 1.35 means is known as long as the version is offered.
	offered, err := image.BuiltCatalogue(root)
	if err != nil {
		return err
	}
	up, err := mayBeUnused(ctx, paths, version, offered)
	if err != nil {
		return err
	}
	if err := image.WithdrawRelease(root, version); err != nil {
		return err
	}
	if up {
		options.BuildDir = filepath.Join(root, "build")
		if err := Up(ctx, options); err != nil {
			return fmt.Errorf("Kubernetes %s is in no later build, but Berth could not be told: %w", version, err)
		}
		if err := unused(ctx, paths, version, offered); err != nil {
			return fmt.Errorf("%w. Meanwhile it was asked for: \"berth release add %s\" offers it again", err, version)
		}
		if err := forgetImages(paths, version); err != nil {
			return err
		}
	}
	if err := image.DiscardRelease(root, version); err != nil {
		return err
	}
	_, err = fmt.Fprintf(options.Out, "Kubernetes %s is removed; \"berth release add %s\" builds it again\n", version, version)
	return err
}

// mayBeUnused says whether a Berth of this host is up, and refuses what its clusters use.
// Those of one that is not up may use anything.
func mayBeUnused(ctx context.Context, paths Paths, version string, offered *release.Catalogue) (up bool, err error) {
	if runningSupervisor(paths) != nil {
		return true, unused(ctx, paths, version, offered)
	}
	_, err = os.Stat(paths.instance())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for a Berth in %s: %w", paths.State, err)
	}
	return false, fmt.Errorf("Berth in %s is not up, and nobody can tell whether its clusters use Kubernetes %s: run \"berth up\" first", paths.State, version)
}

// unused refuses a version that anything uses.
func unused(ctx context.Context, paths Paths, version string, offered *release.Catalogue) error {
	management, err := dial(paths)
	if err != nil {
		return err
	}
	e, err := readEstate(ctx, management)
	if err != nil {
		return err
	}
	if users := e.inUse(offered)[version]; len(users) > 0 {
		return fmt.Errorf("Kubernetes %s is in use by %s", version, named(users))
	}
	return nil
}

// forgetImages takes the images of a version out of Berth's registry.
func forgetImages(paths Paths, version string) error {
	store, err := registry.New(registry.Config{Dir: paths.machine("registry")})
	if err != nil {
		return err
	}
	kube, nodes := image.ReleaseImages(version)
	return errors.Join(store.Remove(kube), store.Remove(nodes))
}
