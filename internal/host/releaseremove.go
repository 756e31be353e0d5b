package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"

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
every build. All Berths of this host are asked that were brought up from this build, whatever their
state directory, and have to be up for it; they no longer offer it. Clusters go on running meanwhile.`,
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

// removal is a version of Kubernetes on its way out of a build.
type removal struct {
	version, build string
	// offered is what the build had: what an alias such as 1.35 means is known as long as the
	// version is offered.
	offered *release.Catalogue
	// named is the state directory that the command names. It need not be one of the build's.
	named Paths
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
	r := removal{version: version, build: filepath.Join(root, "build")}
	if r.named, err = NewPaths(options.StateDir); err != nil {
		return err
	}
	if r.offered, err = image.BuiltCatalogue(root); err != nil {
		return err
	}
	if err := r.askAll(ctx); err != nil {
		return err
	}
	if err := image.WithdrawRelease(root, version); err != nil {
		return err
	}
	told, err := r.tell(ctx, options)
	if err != nil {
		return err
	}
	if err := r.askAll(ctx); err != nil {
		return fmt.Errorf("%w. Meanwhile it was asked for: \"berth release add %s\" offers it again", err, version)
	}
	for _, paths := range told {
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

// users are the state directories whose clusters may use what the build has.
func (r removal) users() ([]Paths, error) {
	all, err := stateDirsOf(r.build)
	if err == nil && !slices.Contains(all, r.named) {
		all = append(all, r.named)
	}
	return all, err
}

// askAll refuses what the clusters of any of them use.
func (r removal) askAll(ctx context.Context) error {
	all, err := r.users()
	if err != nil {
		return err
	}
	for _, paths := range all {
		if err := r.ask(ctx, paths); err != nil {
			return err
		}
	}
	return nil
}

// tell has those that run from the build offer the version no longer, and says which they are.
// One that was brought up from another build has that one's versions.
func (r removal) tell(ctx context.Context, options UpOptions) ([]Paths, error) {
	all, err := r.users()
	if err != nil {
		return nil, err
	}
	var told []Paths
	for _, paths := range all {
		record := runningSupervisor(paths)
		if record == nil {
			continue
		}
		other, err := elsewhere(record.BuildDir, r.build)
		if err != nil {
			return nil, err
		}
		if other {
			continue
		}
		options.StateDir, options.BuildDir = paths.State, r.build
		if err := Up(ctx, options); err != nil {
			return nil, fmt.Errorf("Kubernetes %s is in no later build, but Berth in %s could not be told: %w", r.version, paths.State, err)
		}
		told = append(told, paths)
	}
	return told, nil
}

// ask refuses what the clusters of one Berth use. Those of one that is not up may use anything.
func (r removal) ask(ctx context.Context, paths Paths) error {
	if runningSupervisor(paths) != nil {
		return r.unused(ctx, paths)
	}
	for _, path := range []string{paths.State, paths.instance()} {
		_, err := os.Stat(path)
		switch {
		case err == nil:
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("look for a Berth in %s: %w", paths.State, err)
		case path == paths.State && paths != r.named:
			return fmt.Errorf("Berth was brought up from this build in %s, which is not there, and nobody can tell whether its clusters use Kubernetes %s: "+
				"bring it back, or run \"%s down --purge --state-dir %s\" if it is gone for good", paths.State, r.version, filepath.Join(r.build, "bin", "berth"), paths.State)
		default:
			return nil
		}
	}
	return fmt.Errorf("Berth in %s is not up, and nobody can tell whether its clusters use Kubernetes %s: run \"berth up --state-dir %s\" first", paths.State, r.version, paths.State)
}

// unused refuses a version that anything uses.
func (r removal) unused(ctx context.Context, paths Paths) error {
	e, err := askEstate(ctx, paths)
	if err != nil {
		return fmt.Errorf("Berth in %s is up, and cannot be asked whether its clusters use Kubernetes %s: %w", paths.State, r.version, err)
	}
	if users := e.inUse(r.offered)[r.version]; len(users) > 0 {
		return fmt.Errorf("Kubernetes %s is in use by %s, of the Berth in %s", r.version, named(users), paths.State)
	}
	return nil
}

func askEstate(ctx context.Context, paths Paths) (estate, error) {
	management, err := dial(paths)
	if err != nil {
		return estate{}, err
	}
	return readEstate(ctx, management)
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
