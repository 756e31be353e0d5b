package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// DownOptions are what `berth down` is told.
type DownOptions struct {
	StateDir string
	// Purge also deletes the state directory, and with it every cluster.
	Purge bool
	// Out gets a line for each step.
	Out io.Writer
}

// downPatience is how long the supervisor may take: the machine's stop, the
// removal of its cgroups, and some time to spare.
const downPatience = machineStopPatience + 2*cgroupPatience

// Down ends the machine with everything in it and gives the host back what it
// lent. It does not matter what of that is still there: after a kill of the
// supervisor or a restart of the host it does what is left to do.
func Down(ctx context.Context, options DownOptions) error {
	p := newProgress(options.Out)
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	paths, err := NewPaths(options.StateDir)
	if err != nil {
		return err
	}
	builds, noted := buildsOf(paths), noteOf(paths) // while the directory is there
	if _, err := os.Stat(paths.run("")); errors.Is(err, fs.ErrNotExist) {
		p.say("Berth is not up: there is nothing in %s", paths.State)
		if _, err := os.Stat(paths.instance()); options.Purge && errors.Is(err, fs.ErrNotExist) {
			return forgottenBy(builds, noted)
		}
		return nil
	}
	held, err := lockCommand(paths)
	if err != nil {
		return err
	}
	defer held.Close()
	var used usage
	var reader client.Reader
	if !options.Purge {
		used, reader = usedLast(ctx, paths, p)
	}
	used, err = usedWhile(ctx, func() error { return endSupervisor(ctx, paths, p) }, used, reader)
	if err != nil {
		return err
	}
	noteUsage(paths, used, p)
	all, err := hierarchies()
	if err != nil {
		return err
	}
	if err := giveBack(paths, all); err != nil {
		return err
	}
	if err := forget(paths.supervisorRecord()); err != nil {
		return err
	}
	p.step("Berth is down; processes, network and cgroups are gone")
	if link, err := lookUpLink(); link != nil && err == nil {
		p.say("         link %s stays: it is that of %s, and not of this state directory", LinkDevice, cmp.Or(link.Attrs().Alias, "another Berth"))
	}
	if !options.Purge {
		p.say("Clusters are kept in %s: \"berth up\" brings them back, \"berth down --purge\" deletes them.", paths.State)
		return nil
	}
	if err := purge(paths); err != nil {
		return err
	}
	p.step("%s is deleted", paths.State)
	return forgottenBy(builds, noted)
}

// buildsOf are the builds that may know of a state directory: the one that it was brought up from
// last, as far as that is told, and the one at hand, if there is one.
func buildsOf(paths Paths) []string {
	var builds []string
	var record supervisorRecord
	if found, err := readJSON(paths.supervisorRecord(), &record); err == nil && found && record.BuildDir != "" {
		builds = append(builds, record.BuildDir)
	}
	own := DefaultBuildDir()
	if _, err := os.Stat(filepath.Join(own, "catalogue.json")); err == nil {
		builds = append(builds, own)
	}
	return builds
}

// forgottenBy has builds forget a state directory that was purged.
func forgottenBy(builds []string, noted stateDirRecord) error {
	var failures []error
	for _, build := range builds {
		failures = append(failures, forgetStateDir(build, noted))
	}
	return errors.Join(failures...)
}

// endSupervisor asks the supervisor to end, then makes it. The machine is its
// child and dies with it.
func endSupervisor(ctx context.Context, paths Paths, p progress) error {
	record := runningSupervisor(paths)
	if record == nil {
		return nil
	}
	p.step("ending the management machine")
	if err := record.Process.signal(unix.SIGTERM); err != nil {
		return err
	}
	ended := func(context.Context) (bool, error) { return !record.Process.alive(), nil }
	err := pollContext(ctx, downPatience, ended)
	if !errors.Is(err, errTooLong) {
		return err
	}
	p.step("it does not end by itself: killing it")
	if err := record.Process.signal(unix.SIGKILL); err != nil {
		return err
	}
	if err := pollContext(ctx, supervisorPatience, ended); err != nil {
		return fmt.Errorf("end supervisor %d: %w", record.Process.PID, err)
	}
	return nil
}

func forget(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// purge deletes a state directory: what the package documentation lists, and
// the directory itself when nothing else is in it. A file system mounted below
// it is somebody's, and stops the purge before it begins.
func purge(paths Paths) error {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read mounts: %w", err)
	}
	if mounted := mountsBelow(raw, paths.State); len(mounted) > 0 {
		return fmt.Errorf("not deleting %s: file systems are mounted in it: %s", paths.State, strings.Join(mounted, ", "))
	}
	for _, name := range []string{"machine", "backups", "pki", "azure", "logs", "run", "admin.kubeconfig", "ca-bundle.crt", "instance.json", "restore.json", "in-use.json"} {
		if err := os.RemoveAll(filepath.Join(paths.State, name)); err != nil {
			return fmt.Errorf("purge: %w", err)
		}
	}
	if err := os.Remove(paths.State); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("purge: %w", err)
	}
	return nil
}

// mountsBelow lists the mount points strictly inside a directory.
func mountsBelow(mountinfo []byte, dir string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var found []string
	for _, line := range strings.Split(string(mountinfo), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape.Replace(fields[4]); strings.HasPrefix(point, dir+"/") {
			found = append(found, point)
		}
	}
	return found
}

// age is a duration as people say it.
func age(d time.Duration) string {
	if d < time.Minute {
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
