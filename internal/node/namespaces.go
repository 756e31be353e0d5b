package node

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// enterNamespaces gives an agent machine a cgroup and a mount namespace of its own and starts this program again in
// them; it returns only an error. Namespaces belong to a thread, and only exec makes one thread the whole process.
func enterNamespaces(args []string) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("enter new mount and cgroup namespaces: %w (a machine needs a privileged container)", err)
	}
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if err := unix.Exec(program, args, os.Environ()); err != nil {
		return fmt.Errorf("start again in new namespaces: %w", err)
	}
	return nil
}

// prepareMounts mounts the cgroup hierarchies unless the machine's starter has, and lets mounts spread to containers.
func (m *machine) prepareMounts() error {
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return fmt.Errorf("read the machine's cgroups: %w", err)
	}
	v2, v1 := planCgroups(string(self))
	m.facts.CgroupV2 = v2
	mounted, err := isMountPoint(cgroupRoot)
	if err != nil {
		return err
	}
	if m.config.Role == RoleAgent || !mounted {
		if err := mountCgroups(v2, v1); err != nil {
			return err
		}
	}
	if v2 {
		if err := delegateCgroupV2(cgroupRoot, os.Getpid()); err != nil {
			return err
		}
	}
	// The kubelet's volumes are mounted after containers that bind a parent of them were started.
	return mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}
