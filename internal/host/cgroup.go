package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchy is one mounted cgroup hierarchy of the host.
type hierarchy struct {
	// Mount is where the host has it, such as /sys/fs/cgroup/memory.
	Mount string `json:"mount"`
	// Unified is true for cgroup v2.
	Unified bool `json:"unified,omitempty"`
	// Options select a v1 hierarchy when it is mounted again: its controllers, or name=….
	Options string `json:"options,omitempty"`
}

// hierarchies lists the cgroup hierarchies that this process sees mounted.
func hierarchies() ([]hierarchy, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	return parseHierarchies(raw), nil
}

// parseHierarchies reads /proc/self/mountinfo. A hierarchy that is mounted
// twice is listed once.
func parseHierarchies(mountinfo []byte) []hierarchy {
	var found []hierarchy
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(mountinfo))
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		h := hierarchy{Mount: left[4], Unified: right[0] == "cgroup2"}
		if right[0] == "cgroup" {
			h.Options = hierarchyOptions(right[2])
		} else if !h.Unified {
			continue
		}
		if key := right[0] + h.Options; !seen[key] {
			seen[key] = true
			found = append(found, h)
		}
	}
	return found
}

// hierarchyOptions keeps of a v1 mount's super options those that name the hierarchy.
func hierarchyOptions(super string) string {
	var kept []string
	for _, option := range strings.Split(super, ",") {
		switch {
		case option == "rw" || option == "ro" || option == "clone_children" || option == "xattr":
		case strings.HasPrefix(option, "release_agent="):
		default:
			kept = append(kept, option)
		}
	}
	return strings.Join(kept, ",")
}

// create makes the group in this hierarchy and returns its directory.
func (h hierarchy) create(name string) (string, error) {
	dir := filepath.Join(h.Mount, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("create cgroup: %w", err)
	}
	// A new v1 cpuset is empty and takes no process until it has both.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(h.Mount, file))
		if h.Unified || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), value, 0o644)
		}
		if err != nil {
			return "", fmt.Errorf("set %s of cgroup %s: %w", file, dir, err)
		}
	}
	return dir, nil
}

// undelegated lists the controllers that a v2 hierarchy has and does not yet
// pass on to its children.
func (h hierarchy) undelegated() ([]string, error) {
	if !h.Unified {
		return nil, nil
	}
	has, err := os.ReadFile(filepath.Join(h.Mount, "cgroup.controllers"))
	if err != nil {
		return nil, fmt.Errorf("read cgroup controllers: %w", err)
	}
	passed, err := os.ReadFile(filepath.Join(h.Mount, "cgroup.subtree_control"))
	if err != nil {
		return nil, fmt.Errorf("read delegated cgroup controllers: %w", err)
	}
	var missing []string
	for _, controller := range strings.Fields(string(has)) {
		if !slices.Contains(strings.Fields(string(passed)), controller) {
			missing = append(missing, controller)
		}
	}
	return missing, nil
}

// delegate turns controllers on ("+") or off ("-") for the children of a v2 root.
func (h hierarchy) delegate(sign string, controllers []string) error {
	var failures []error
	for _, controller := range controllers {
		err := os.WriteFile(filepath.Join(h.Mount, "cgroup.subtree_control"), []byte(sign+controller), 0o644)
		if err != nil {
			failures = append(failures, fmt.Errorf("delegate cgroup controller %s%s: %w", sign, controller, err))
		}
	}
	return errors.Join(failures...)
}

// enterCgroups moves a process into the group of this name in every hierarchy.
func enterCgroups(all []hierarchy, name string, pid int) error {
	for _, h := range all {
		dir, err := h.create(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

// removeCgroups removes the groups of this name and all below them, children
// first. Processes that are still in them are killed: nothing but the machine's
// ever are. A group that is not there is fine.
func removeCgroups(all []hierarchy, name string, patience time.Duration) error {
	var failures []error
	for _, h := range all {
		dir := filepath.Join(h.Mount, name)
		err := poll(patience, func() (bool, error) { return removeTree(dir) })
		if err != nil {
			failures = append(failures, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
	}
	return errors.Join(failures...)
}

// removeTree tries once to remove a cgroup and everything below it, and says
// whether it is gone. A group with dying processes in it is busy for a moment.
func removeTree(dir string) (bool, error) {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("list cgroups below %s: %w", dir, err)
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		killGroup(dirs[i])
		err := unix.Rmdir(dirs[i])
		if errors.Is(err, unix.EBUSY) {
			return false, nil
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return false, fmt.Errorf("remove %s: %w", dirs[i], err)
		}
	}
	return true, nil
}

func killGroup(dir string) {
	raw, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, field := range strings.Fields(string(raw)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}
