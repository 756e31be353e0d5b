package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// leastDisk is what must be free in the state directory.
	leastDisk = 4 << 30
	leastDays = 24 * time.Hour
)

// preflight says everything that keeps Berth from coming up on this host, each
// problem with what would be right. It changes nothing.
func preflight(ctx context.Context, paths Paths, now time.Time) error {
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	checks := []error{
		checkPrograms("nft"),
		checkCgroups("/sys/fs/cgroup"),
		checkFilesystems("overlay", "tmpfs", "proc", "sysfs", "devpts", "mqueue"),
		checkDisk(paths.State),
		checkClock(paths, now),
		checkLink(paths.Name()),
		checkNetworks(),
	}
	for _, p := range proxies() {
		checks = append(checks, checkPort(ctx, p))
	}
	return errors.Join(checks...)
}

var errNotRoot = errors.New("this needs root: namespaces, cgroups and network links cannot be made without; try again with sudo")

func checkPrograms(names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("program %s is missing: apt-get install nftables", name)
		}
	}
	return nil
}

// checkCgroups wants the controllers that a kubelet cannot do without.
func checkCgroups(mountpoint string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	var has []string
	for _, h := range all {
		has = append(has, strings.Split(h.Options, ",")...)
		raw, err := os.ReadFile(filepath.Join(h.Mount, "cgroup.controllers"))
		if err == nil {
			has = append(has, strings.Fields(string(raw))...)
		}
	}
	var missing []string
	for _, controller := range []string{"cpu", "cpuset", "memory", "pids"} {
		if !slices.Contains(has, controller) {
			missing = append(missing, controller)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("cgroup controllers %s are not mounted below %s: boot a kernel with them", strings.Join(missing, ", "), mountpoint)
	}
	return nil
}

// checkFilesystems asks the kernel for each kind. A kind that is a module is
// loaded by the asking.
func checkFilesystems(kinds ...string) error {
	var failures []error
	for _, kind := range kinds {
		fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
		if err != nil {
			failures = append(failures, fmt.Errorf("the kernel has no file system %s: %w", kind, err))
			continue
		}
		unix.Close(fd)
	}
	return errors.Join(failures...)
}

func checkDisk(dir string) error {
	existing := dir
	for {
		_, err := os.Stat(existing)
		if err == nil || existing == "/" {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look at state directory: %w", err)
		}
		existing = filepath.Dir(existing)
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(existing, &stat); err != nil {
		return fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	if stat.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return fmt.Errorf("%s lies on an overlay file system, where containers cannot be unpacked: choose another place with --state-dir", dir)
	}
	if free := stat.Bavail * uint64(stat.Bsize); free < leastDisk {
		return fmt.Errorf("only %d MiB are free for %s; at least %d MiB are needed: make room, or choose another place with --state-dir",
			free>>20, dir, leastDisk>>20)
	}
	return nil
}

// checkClock refuses a clock that lies before what was already made by it:
// certificates would not be valid yet.
func checkClock(paths Paths, now time.Time) error {
	if now.Year() < 2026 {
		return fmt.Errorf("the clock says %s: set it, certificates depend on it", now.Format(time.RFC3339))
	}
	instance, err := loadInstance(paths)
	if err != nil {
		return nil //nolint:nilerr // nothing was made yet, so there is no time to compare with
	}
	if instance.Created.Sub(now) > leastDays {
		return fmt.Errorf("the clock says %s, before Berth was made here (%s): set it", now.Format(time.RFC3339), instance.Created.Format(time.RFC3339))
	}
	return nil
}

// checkNetworks refuses a host that reaches something else by the link's
// addresses. Wider routes do no harm: the link's own is the narrowest.
func checkNetworks() error {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	_, ours, err := net.ParseCIDR(linkCIDR)
	if err != nil {
		return fmt.Errorf("parse %s: %w", linkCIDR, err)
	}
	for _, route := range routes {
		if route.Dst == nil || !ours.Contains(route.Dst.IP) {
			continue
		}
		if ones, _ := route.Dst.Mask.Size(); ones >= linkPrefix {
			return fmt.Errorf("the host has a route to %s, which Berth needs for its own machine (%s)", route.Dst, linkCIDR)
		}
	}
	return nil
}

func checkPort(ctx context.Context, p proxy) error {
	listener, err := p.listen(ctx)
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("%s is taken by another program: find it with \"ss -ltnp\" and end it", p.Listen)
	}
	if err != nil {
		return err
	}
	return listener.Close()
}
