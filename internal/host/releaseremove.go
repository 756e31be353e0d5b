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
every build. All Berths of this host are asked that were brought up from this build, whatever their
state directory. One that is up no longer offers it, and its clusters go on running meanwhile; one that
was taken down with "berth down" has noted what its clusters use.`,
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
	if err := r.settled(); err != nil {
		return err
	}
	if err := image.WithdrawRelease(root, version); err != nil {
		return err
	}
	if err := r.tell(ctx, options); err != nil {
		return err
	}
	if err := r.askAll(ctx); err != nil {
		return fmt.Errorf("%w. Meanwhile it was asked for: \"berth release add %s\" offers it again", err, version)
	}
	if err := r.forgetImages(ctx); err != nil {
		return err
	}
	if err := image.DiscardRelease(root, version); err != nil {
		return err
	}
	_, err = fmt.Fprintf(options.Out, "Kubernetes %s is removed; \"berth release add %s\" builds it again\n", version, version)
	return err
}

// user is a state directory whose clusters may use what a build has.
type user struct {
	Paths
	// noted says that Berth was brought up there from the build, and was not purged.
	noted bool
}

// users are those that the build knows of, and the one that is named.
func (r removal) users() ([]user, error) {
	known, err := stateDirsOf(r.build)
	if err != nil {
		return nil, err
	}
	all := make([]user, 0, len(known)+1)
	own := user{Paths: r.named}
	for _, paths := range known {
		if resolved(paths.State) == resolved(r.named.State) {
			own = user{paths, true}
			continue
		}
		all = append(all, user{paths, true})
	}
	return append(all, own), nil
}

// askAll refuses what the clusters of any of them use.
func (r removal) askAll(ctx context.Context) error {
	all, err := r.users()
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := r.ask(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// settled refuses while a Berth runs on what the build was before: to be told what the build has,
// its machine would have to be started again, and with it all its clusters.
func (r removal) settled() error {
	all, err := r.running()
	if err != nil {
		return err
	}
	for _, one := range all {
		fingerprint, err := Artifacts{Dir: r.build, Catalogue: r.offered}.Fingerprint()
		if err != nil {
			return err
		}
		if one.record.Fingerprint != fingerprint {
			return fmt.Errorf("the build has changed since Berth in %[1]s was started: run \"berth up --state-dir %[1]s\" first", one.State)
		}
	}
	return nil
}

// running is a Berth that runs from the build.
type running struct {
	user
	record *supervisorRecord
}

// running are those of the users that run from the build.
func (r removal) running() ([]running, error) {
	all, err := r.users()
	if err != nil {
		return nil, err
	}
	var found []running
	for _, one := range all {
		record, err := r.runs(one.Paths)
		if err != nil {
			return nil, err
		}
		if record != nil {
			found = append(found, running{one, record})
		}
	}
	return found, nil
}

// runs is the record of a Berth that runs from the build; nil if there is none, or it was brought
// up from another build and has that one's versions.
func (r removal) runs(paths Paths) (*supervisorRecord, error) {
	record := runningSupervisor(paths)
	if record == nil {
		return nil, nil
	}
	if other, err := elsewhere(record.BuildDir, r.build); other || err != nil {
		return nil, err
	}
	return record, nil
}

// tell has those that run from the build offer the version no longer.
func (r removal) tell(ctx context.Context, options UpOptions) error {
	all, err := r.running()
	if err != nil {
		return err
	}
	for _, one := range all {
		options.StateDir, options.BuildDir = one.State, r.build
		if err := Up(ctx, options); err != nil {
			return fmt.Errorf("Kubernetes %s is in no later build, but Berth in %s could not be told: %w", r.version, one.State, err)
		}
	}
	return nil
}

// ask refuses what the clusters of one Berth use, and whatever they may use where nobody can tell.
func (r removal) ask(ctx context.Context, of user) error {
	if _, err := os.Stat(of.State); errors.Is(err, fs.ErrNotExist) {
		return r.missing(of, "is not there")
	} else if err != nil {
		return fmt.Errorf("look for a Berth in %s: %w", of.State, err)
	}
	// One that is on its way up read what the build offers, or is about to and then finds it gone.
	held, err := lockCommand(of.Paths)
	switch {
	case err == nil:
		defer held.Close()
	case !errors.Is(err, fs.ErrNotExist): // without that directory nobody is
		return err
	}
	if runningSupervisor(of.Paths) != nil {
		return r.unused(ctx, of.Paths)
	}
	return r.unusedLast(of)
}

// missing refuses where Berth was brought up and is not to be seen: its disk may not be mounted.
func (r removal) missing(of user, how string) error {
	if !of.noted {
		return nil
	}
	return fmt.Errorf("Berth was brought up from this build in %[1]s, which %[2]s, and nobody can tell whether its clusters use Kubernetes %[3]s: "+
		"bring it back, or run \"%[4]s down --purge --state-dir %[1]s\" if it is gone for good", of.State, how, r.version, filepath.Join(r.build, "bin", "berth"))
}

// unusedLast refuses a version that the clusters of a Berth use which is not up, as it has noted.
func (r removal) unusedLast(of user) error {
	for _, path := range []string{of.instance(), of.restoreRecord()} {
		_, err := os.Stat(path)
		switch {
		case err == nil && path == of.instance():
			return r.unusedAsNoted(of.Paths)
		case err == nil:
			return fmt.Errorf("in %s: %w", of.State, errInterrupted)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("look for a Berth in %s: %w", of.State, err)
		}
	}
	return r.missing(of, "has no Berth in it")
}

func (r removal) unusedAsNoted(paths Paths) error {
	var record usageRecord
	found, err := readJSON(paths.usageRecord(), &record)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("Berth in %[1]s is not up and did not note what its clusters use when it ended, and nobody can tell whether they use Kubernetes %[2]s: "+
			"run \"berth up --state-dir %[1]s\" first. It may be taken down after that, for another one to come up", paths.State, r.version)
	}
	return r.refuse(record.Versions, paths)
}

// refuse says what uses a version, if anything does.
func (r removal) refuse(asked usage, paths Paths) error {
	if users := asked.meant(r.offered)[r.version]; len(users) > 0 {
		return fmt.Errorf("Kubernetes %s is in use by %s, of the Berth in %s", r.version, named(users), paths.State)
	}
	return nil
}

// unused refuses a version that anything uses.
func (r removal) unused(ctx context.Context, paths Paths) error {
	e, err := askEstate(ctx, paths)
	if err != nil {
		return fmt.Errorf("Berth in %s is up, and cannot be asked whether its clusters use Kubernetes %s: %w", paths.State, r.version, err)
	}
	return r.refuse(e.asked(), paths)
}

func askEstate(ctx context.Context, paths Paths) (estate, error) {
	management, err := dial(paths)
	if err != nil {
		return estate{}, err
	}
	return readEstate(ctx, management)
}

// forgetImages takes the images of the version out of the registry of each Berth that is down or
// runs from the build. One that comes up from another build which has the version gets them again.
func (r removal) forgetImages(ctx context.Context) error {
	all, err := r.users()
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := r.forgetImagesOf(ctx, one.Paths); err != nil {
			return err
		}
	}
	return nil
}

func (r removal) forgetImagesOf(ctx context.Context, paths Paths) error {
	record, err := r.runs(paths)
	if err != nil {
		return err
	}
	if record == nil {
		held, err := lockCommand(paths)
		if err != nil {
			return nil //nolint:nilerr // there is none, or it comes up and gets what it is to have
		}
		defer held.Close()
		if runningSupervisor(paths) != nil {
			return nil
		}
	}
	if _, err := os.Stat(paths.machine("registry")); err != nil {
		return nil //nolint:nilerr // there are no images
	}
	store, err := registry.New(registry.Config{Dir: paths.machine("registry")})
	if err != nil {
		return err
	}
	kube, nodes := image.ReleaseImages(r.version)
	return errors.Join(store.Remove(ctx, kube), store.Remove(ctx, nodes))
}
