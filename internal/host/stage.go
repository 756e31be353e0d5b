package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// bind shows a directory of the host at a path of the machine.
type bind struct {
	Source string `json:"source"`
	Target string `json:"target"`
	// ReadOnly protects the source from everything in the machine.
	ReadOnly bool `json:"readOnly,omitempty"`
}

// stage is what the machine's first process is told before it becomes the
// machine's init: how its root file system is put together.
type stage struct {
	// RootFS is the unpacked node image. It is not written to.
	RootFS string `json:"rootFS"`
	// Mountpoint is an empty directory of the host.
	Mountpoint  string            `json:"mountpoint"`
	Binds       []bind            `json:"binds"`
	Hierarchies []hierarchy       `json:"hierarchies"`
	Hostname    string            `json:"hostname"`
	Files       map[string]string `json:"files"`
	Command     []string          `json:"command"`
}

// stageFD is where the first process finds its stage: the read end of a pipe.
const stageFD = 3

// runStage is `berth host machine`: process 1 of new pid, mount, network, uts
// and ipc namespaces. It returns only when something went wrong.
//
// It waits for its stage, which comes when its parent has moved it into its
// cgroups and given it a link: the cgroup namespace must begin there.
func runStage() error {
	// Unsharing changes one thread only; the exec at the end keeps this one.
	runtime.LockOSThread()
	s, err := receiveStage()
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare cgroup namespace: %w", err)
	}
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := attach(); err != nil {
		return fmt.Errorf("attach to the host: %w", err)
	}
	if err := guardPods(); err != nil {
		return fmt.Errorf("guard the pods: %w", err)
	}
	if err := s.buildRoot(); err != nil {
		return fmt.Errorf("build root file system: %w", err)
	}
	environment := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "container=berth"}
	err = unix.Exec(s.Command[0], s.Command, environment)
	return fmt.Errorf("exec %s: %w", strings.Join(s.Command, " "), err)
}

// receiveStage waits for the stage and makes sure that the machine will end with
// the supervisor. The wish to die with the parent belongs to a thread as well,
// and the one that the process was born with need not be this one.
func receiveStage() (stage, error) {
	var s stage
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return s, fmt.Errorf("die with the supervisor: %w", err)
	}
	pipe := os.NewFile(stageFD, "stage")
	if pipe == nil {
		return s, errors.New("no stage on file descriptor 3: this command is for berth itself")
	}
	defer pipe.Close()
	if err := json.NewDecoder(pipe).Decode(&s); err != nil {
		return s, fmt.Errorf("read stage: %w", err)
	}
	// The supervisor keeps its end open: a parent that died before the wish was made shows by this.
	state := []unix.PollFd{{Fd: stageFD, Events: unix.POLLIN}}
	if _, err := unix.Poll(state, 0); err != nil {
		return s, fmt.Errorf("look for the supervisor: %w", err)
	}
	if state[0].Revents&unix.POLLHUP != 0 {
		return s, errors.New("the supervisor has ended")
	}
	return s, nil
}

// buildRoot mounts the machine's file systems and makes them the root.
func (s stage) buildRoot() error {
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	root, err := s.mountOverlay()
	if err != nil {
		return err
	}
	for _, step := range []func(string) error{s.mountKernel, mountDevices, s.mountCgroups, s.mountBinds, s.writeFiles} {
		if err := step(root); err != nil {
			return err
		}
	}
	return pivot(root)
}

// mountOverlay joins the node image and a new tmpfs, and returns where.
func (s stage) mountOverlay() (string, error) {
	if err := mount("berth", s.Mountpoint, "tmpfs", 0, "mode=0755"); err != nil {
		return "", err
	}
	dir := func(name string) string { return filepath.Join(s.Mountpoint, name) }
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(dir(name), 0o755); err != nil {
			return "", err
		}
	}
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", escape(s.RootFS), escape(dir("upper")), escape(dir("work")))
	return dir("root"), mount("berth", dir("root"), "overlay", 0, options)
}

func (s stage) mountKernel(root string) error {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, m := range []struct {
		kind, target, options string
		flags                 uintptr
	}{
		{"proc", "proc", "", safe},
		{"sysfs", "sys", "", safe},
		{"tmpfs", "run", "mode=0755", unix.MS_NOSUID | unix.MS_NODEV},
		{"tmpfs", "tmp", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	} {
		if err := mountAt(m.kind, filepath.Join(root, m.target), m.kind, m.flags, m.options); err != nil {
			return err
		}
	}
	return nil
}

// mountCgroups mounts the host's hierarchies anew: inside this cgroup namespace
// their roots are the machine's own groups.
func (s stage) mountCgroups(root string) error {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	base := filepath.Join(root, "sys/fs/cgroup")
	if len(s.Hierarchies) == 1 && s.Hierarchies[0].Unified {
		return mount("cgroup2", base, "cgroup2", safe, "")
	}
	if err := mount("cgroup", base, "tmpfs", safe, "mode=0755"); err != nil {
		return err
	}
	for _, h := range s.Hierarchies {
		name := filepath.Base(h.Mount)
		kind, options := "cgroup", h.Options
		if h.Unified {
			kind, options = "cgroup2", ""
		}
		if strings.HasPrefix(options, "name=") {
			options = "none," + options
		}
		if err := mountAt(kind, filepath.Join(base, name), kind, safe, options); err != nil {
			return err
		}
		for _, controller := range strings.Split(h.Options, ",") {
			if controller == name || strings.Contains(controller, "=") || h.Unified {
				continue
			}
			if err := os.Symlink(name, filepath.Join(base, controller)); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	return nil
}

func (s stage) mountBinds(root string) error {
	for _, b := range s.Binds {
		target := filepath.Join(root, b.Target)
		if err := mountAt(b.Source, target, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		if !b.ReadOnly {
			continue
		}
		if err := mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return err
		}
	}
	return nil
}

func (s stage) writeFiles(root string) error {
	for name, content := range s.Files {
		path := filepath.Join(root, name)
		// The image may have a link here, which would lead out of the root.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pivot makes root the root of this mount namespace and lets go of the old one.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot to %s: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the host's root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	// Volumes that the kubelet mounts must show in containers that bind a parent.
	return mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

func mountAt(source, target, kind string, flags uintptr, options string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	return mount(source, target, kind, flags, options)
}

func mount(source, target, kind string, flags uintptr, options string) error {
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s %s on %s (%s): %w", kind, source, target, options, err)
	}
	return nil
}
