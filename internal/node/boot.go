package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth.dev/berth/internal/node/supervise"
)

// machine is a machine while it boots and runs.
type machine struct {
	config Config
	facts  facts
	lines  *supervise.Lines
}

// step is one part of a boot.
type step struct {
	// Name completes the sentence "could not …".
	Name string
	Do   func() error
}

// Run boots the machine and runs it until ctx is done or it is asked to stop by SIGTERM or SIGINT; then it stops
// everything, in order and within a bounded time.
func Run(ctx context.Context, config Config, out io.Writer) error {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	m := &machine{config: config, lines: supervise.NewLines(out)}
	began := time.Now()
	for _, s := range m.steps() {
		if err := s.Do(); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	m.lines.Printf("init", "%s prepared in %s: %d CPUs, %d MiB, cgroup v2 %t, address %s", config.NodeName,
		time.Since(began).Round(time.Millisecond), m.facts.CPUs, m.facts.MemoryMiB, m.facts.CgroupV2, m.facts.NodeIP)
	return m.serve(ctx)
}

func (m *machine) steps() []step {
	return []step{
		{"mount the machine's file systems", m.prepareMounts},
		{"clean up after an earlier boot", m.cleanUp},
		{"give the machine its identity", m.identify},
		{"set kernel parameters", m.tuneKernel},
		{"set the node's capacity", m.resize},
		{"prepare containerd's store", m.prepareStore},
		{"write configuration files", m.writeConfiguration},
		{"prepare patches of the operating system", m.preparePatching},
	}
}

// cleanUp removes what a boot must not find: a pod's tmpfs outlives the container that is its machine.
func (m *machine) cleanUp() error {
	if m.config.Role == RoleAgent {
		if err := emptyRun("/run"); err != nil {
			return err
		}
	}
	// No container has outlived the boot, so no address is taken.
	if err := os.RemoveAll("/var/lib/cni"); err != nil {
		return err
	}
	for _, dir := range []string{"/var/lib/kubelet", "/var/log/pods", "/var/log/containers", "/etc/cni/net.d", "/opt/cni/bin", "/tmp"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod("/tmp", 0o777|os.ModeSticky); err != nil {
		return err
	}
	return ensureKernelLog("/dev/kmsg")
}

// emptyRun empties dir, except for what is mounted in it.
func emptyRun(dir string) error {
	points, err := mountPoints()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		busy := false
		for _, p := range points {
			busy = busy || p == path || strings.HasPrefix(p, path+"/")
		}
		if busy {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// ensureKernelLog gives the kubelet, which refuses to start without it, a kernel log or something like an empty one.
func ensureKernelLog(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 11))); err == nil {
		return nil
	}
	return os.Symlink("/dev/null", path)
}

func (m *machine) writeConfiguration() error {
	m.facts.MayRaisePriority = hasCapability(unix.CAP_SYS_RESOURCE)
	kubelet, err := renderKubeletConfig(m.config, m.facts)
	if err != nil {
		return err
	}
	containerd, err := renderContainerd(m.facts)
	if err != nil {
		return err
	}
	files := map[string][]byte{kubeletConfigPath: kubelet, containerdConfigPath: containerd}
	if m.config.Registry.Address != "" {
		hosts, err := renderRegistryHosts(m.config.Registry)
		if err != nil {
			return err
		}
		files[filepath.Join(certsDir, registryHost, "hosts.toml")] = hosts
	}
	for path, content := range files {
		if err := writeFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func hasCapability(capability uint) bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	_, after, _ := bytes.Cut(status, []byte("\nCapEff:\t"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	mask, err := strconv.ParseUint(string(line), 16, 64)
	return err == nil && mask&(1<<capability) != 0
}

// serve runs the machine's services until ctx is done, then stops kubelet, containers and containerd in this order.
func (m *machine) serve(ctx context.Context) error {
	services, err := m.services()
	if err != nil {
		return err
	}
	if err := markBooted(bootedMark, initStat); err != nil {
		return err
	}
	reaping, stopReaping := context.WithCancel(context.Background())
	defer stopReaping()
	reaper := supervise.NewReaper()
	go reaper.Run(reaping)
	v := &supervise.Supervisor{Reaper: reaper, Lines: m.lines, CheckStarting: 100 * time.Millisecond,
		Backoff: supervise.Backoff{Min: 250 * time.Millisecond, Max: 15 * time.Second, Reset: time.Minute}}

	stopContainerd := launch(v, services.containerd)
	select {
	case <-services.containerd.Healthy():
	case <-ctx.Done():
	}
	stops := []func(){launch(v, services.kubelet)}
	if services.ssh != nil {
		stops = append(stops, m.watchLogins(), launch(v, services.ssh))
	}
	if m.config.Role == RoleAgent {
		stops = append(stops, m.watchProblems(services))
	}
	if m.config.PatchesItself {
		stops = append(stops, m.watchPatches(reaper))
	}
	<-ctx.Done()
	m.lines.Printf("init", "stopping")
	for _, stop := range stops {
		stop()
	}
	m.stopContainers(stopContainersWithin)
	stopContainerd()
	unix.Sync()
	m.lines.Printf("init", "stopped")
	return nil
}

// launch runs a service and returns what stops it and waits for its end.
func launch(v *supervise.Supervisor, s *supervise.Service) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { v.Run(ctx, s) })
	return func() {
		cancel()
		ended.Wait()
	}
}
