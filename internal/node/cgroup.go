package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// initCgroup is where the machine's own processes live on cgroup v2, which allows no process beside child groups.
const initCgroup = "berth"

// cgroupV1Mount is one hierarchy of version 1: the directory it is mounted on and what it is mounted with.
type cgroupV1Mount struct {
	Dir     string
	Options string
	// Links are the controllers that share the hierarchy, each reachable by its own name.
	Links []string
}

// planCgroups reads the text of /proc/self/cgroup: version 2 alone, or the hierarchies of version 1 in their order.
// The version 2 hierarchy of a hybrid host is left out, since whatever is limited there is limited in version 1.
func planCgroups(self string) (v2 bool, v1 []cgroupV1Mount) {
	for _, line := range strings.Split(strings.TrimSpace(self), "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 || fields[1] == "" {
			continue
		}
		controllers := fields[1]
		if name, named := strings.CutPrefix(controllers, "name="); named {
			v1 = append(v1, cgroupV1Mount{Dir: name, Options: "none,name=" + name})
			continue
		}
		m := cgroupV1Mount{Dir: controllers, Options: controllers}
		if names := strings.Split(controllers, ","); len(names) > 1 {
			m.Links = names
		}
		v1 = append(v1, m)
	}
	slices.SortFunc(v1, func(a, b cgroupV1Mount) int { return strings.Compare(a.Dir, b.Dir) })
	return len(v1) == 0, v1
}

// mountCgroups mounts every hierarchy anew, so that its root is this cgroup namespace's.
func mountCgroups(v2 bool, v1 []cgroupV1Mount) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unmountBelow(cgroupRoot, true); err != nil {
		return err
	}
	if v2 {
		return mount("cgroup2", cgroupRoot, "cgroup2", flags, "")
	}
	if err := mount("tmpfs", cgroupRoot, "tmpfs", flags, "mode=755"); err != nil {
		return err
	}
	for _, m := range v1 {
		dir := filepath.Join(cgroupRoot, m.Dir)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("make a cgroup mount point: %w", err)
		}
		if err := mount("cgroup", dir, "cgroup", flags, m.Options); err != nil {
			return err
		}
		for _, link := range m.Links {
			if err := os.Symlink(m.Dir, filepath.Join(cgroupRoot, link)); err != nil {
				return fmt.Errorf("link a cgroup controller: %w", err)
			}
		}
	}
	return nil
}

// delegateCgroupV2 moves this process into a child group of root and hands every controller to root's children.
func delegateCgroupV2(root string, pid int) error {
	own := filepath.Join(root, initCgroup)
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the machine's own cgroup: %w", err)
	}
	if err := os.WriteFile(filepath.Join(own, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return fmt.Errorf("enter the machine's own cgroup: %w", err)
	}
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("list cgroup controllers: %w", err)
	}
	var problems []error
	for _, controller := range strings.Fields(string(controllers)) {
		enable := []byte("+" + controller)
		err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), enable, 0o644)
		// Pods can do without the rest, which some hosts keep for themselves.
		if err != nil && slices.Contains([]string{"cpu", "cpuset", "memory", "pids"}, controller) {
			problems = append(problems, fmt.Errorf("delegate the cgroup controller %s: %w", controller, err))
		}
	}
	return errors.Join(problems...)
}
