package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// sysctl is a kernel setting that a machine wants.
type sysctl struct {
	Name  string
	Value int64
	// AtLeast leaves a larger value as it is.
	AtLeast bool
}

// machineSysctls are set where they can be. Those of net belong to the machine's own network namespace; those of fs
// are the host's and limit all its machines together, so they are only ever raised, and by agents alone: the management
// machine's starter does it for its own and puts them back.
func machineSysctls(role string) []sysctl {
	own := []sysctl{
		{Name: "net.ipv4.ip_forward", Value: 1},
		{Name: "net.ipv6.conf.all.forwarding", Value: 1},
		{Name: "net.ipv4.conf.all.rp_filter", Value: 0},
		{Name: "net.ipv4.conf.default.rp_filter", Value: 0},
	}
	if role == RoleManagement {
		return own
	}
	return append(own,
		sysctl{Name: "fs.inotify.max_user_instances", Value: 8192, AtLeast: true},
		sysctl{Name: "fs.inotify.max_user_watches", Value: 524288, AtLeast: true})
}

// kubeletTunables are what a kubelet insists on for the whole kernel. They are the host's to decide, so the kubelet is
// shown the values that it wants and the kernel keeps its own.
func kubeletTunables() []sysctl {
	return []sysctl{
		{Name: "vm.overcommit_memory", Value: 1},
		{Name: "vm.panic_on_oom", Value: 0},
		{Name: "kernel.panic", Value: 10},
		{Name: "kernel.panic_on_oops", Value: 1},
		{Name: "kernel.keys.root_maxkeys", Value: 1000000},
		{Name: "kernel.keys.root_maxbytes", Value: 25000000},
	}
}

func (s sysctl) path(root string) string {
	return filepath.Join(root, strings.ReplaceAll(s.Name, ".", "/"))
}

// apply sets the value below root (/proc/sys) unless it is right already.
func (s sysctl) apply(root string) error {
	raw, err := os.ReadFile(s.path(root))
	if err != nil {
		return fmt.Errorf("read %s: %w", s.Name, err)
	}
	now, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err == nil && (now == s.Value || s.AtLeast && now > s.Value) {
		return nil
	}
	if err := os.WriteFile(s.path(root), []byte(strconv.FormatInt(s.Value, 10)), 0o644); err != nil {
		return fmt.Errorf("set %s=%d: %w", s.Name, s.Value, err)
	}
	return nil
}

// raiseOpenFiles lets every process of the machine open as many files as this one may be allowed to.
func raiseOpenFiles() error {
	const wanted = 1 << 20
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	higher := syscall.Rlimit{Cur: max(wanted, limit.Cur), Max: max(wanted, limit.Max)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &higher) == nil {
		return nil
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}

func (m *machine) tuneKernel() error {
	if err := raiseOpenFiles(); err != nil {
		m.lines.Printf("init", "%v", err)
	}
	for _, s := range machineSysctls(m.config.Role) {
		if err := s.apply("/proc/sys"); err != nil {
			m.lines.Printf("init", "%v", err)
		}
	}
	for _, s := range kubeletTunables() {
		value := strconv.FormatInt(s.Value, 10)
		raw, err := os.ReadFile(s.path("/proc/sys"))
		if err == nil && strings.TrimSpace(string(raw)) != value {
			m.replaceKernelFile(s.path("/proc/sys"), value)
		}
	}
	return nil
}
