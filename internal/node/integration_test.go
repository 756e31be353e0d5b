package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth.dev/berth/internal/pki"
	"berth.dev/berth/internal/testenv"
)

// The test binary plays three parts, told apart by this variable: the test itself, the process that puts the machine's
// file system together as a machine's starter does, and berth-node inside.
const partVariable = "BERTH_NODE_TEST_PART"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(partVariable) {
	case "":
		os.Exit(m.Run())
	case "starter":
		err = startMachine(os.Getenv("ROOTFS"), os.Getenv("SCRATCH"))
	case "patcher":
		err = patchRootFS(os.Getenv("ROOTFS"), os.Getenv("SCRATCH"))
	case "berth-node":
		command := NewCommand()
		command.SetArgs(os.Args[2:])
		err = command.ExecuteContext(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// startMachine waits until it has been put into its cgroups, builds the root file system and becomes berth-node.
func startMachine(rootFS, scratch string) error {
	if _, err := io.ReadAll(os.Stdin); err != nil {
		return err
	}
	if err := addLink(); err != nil {
		return err
	}
	root := filepath.Join(scratch, "root")
	overlay := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", rootFS, filepath.Join(scratch, "tmpfs/upper"), filepath.Join(scratch, "tmpfs/work"))
	steps := []func() error{
		func() error { return unix.Unshare(unix.CLONE_NEWCGROUP) },
		func() error { return mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return mount("tmpfs", filepath.Join(scratch, "tmpfs"), "tmpfs", 0, "") },
		func() error { return os.MkdirAll(filepath.Join(scratch, "tmpfs/upper"), 0o755) },
		func() error { return os.MkdirAll(filepath.Join(scratch, "tmpfs/work"), 0o755) },
		func() error { return mount("overlay", root, "overlay", 0, overlay) },
		func() error { return mount("proc", root+"/proc", "proc", 0, "") },
		func() error { return mount("sysfs", root+"/sys", "sysfs", 0, "") },
		func() error { return mount("/dev", root+"/dev", "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return mount("tmpfs", root+"/run", "tmpfs", 0, "") },
		func() error { return bindAt(filepath.Join(scratch, "containerd"), root+"/var/lib/containerd") },
		func() error { return bindAt(filepath.Join(scratch, "kubelet"), root+"/var/lib/kubelet") },
		func() error { return bindAt(filepath.Join(scratch, "machine"), root+"/etc/berth/machine") },
		func() error { return os.MkdirAll(root+"/old", 0o755) },
		func() error { return unix.PivotRoot(root, root+"/old") },
		func() error { return os.Chdir("/") },
		func() error { return unix.Unmount("/old", unix.MNT_DETACH) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d of starting the machine: %w", i, err)
		}
	}
	return unix.Exec("/etc/berth/machine/berth-node", []string{"/etc/berth/machine/berth-node", "init"}, []string{partVariable + "=berth-node"})
}

func bindAt(source, target string) error {
	return errors.Join(os.MkdirAll(target, 0o755), mount(source, target, "", unix.MS_BIND, ""))
}

// addLink gives the machine the address and the default route that a kubelet wants.
func addLink() error {
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("add a link: %w", err)
	}
	address, err := netlink.ParseAddr("100.66.0.2/30")
	if err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return errors.Join(netlink.LinkSetUp(lo), netlink.AddrAdd(link, address), netlink.LinkSetUp(link),
		netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.IPv4(100, 66, 0, 1)}))
}

// runningMachine is a machine under test.
type runningMachine struct {
	*testing.T
	command *exec.Cmd
	mu      sync.Mutex
	output  bytes.Buffer
}

func (m *runningMachine) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.output.Write(p)
}

func (m *runningMachine) log() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.output.String()
}

// inside is a path of the machine's.
func (m *runningMachine) inside(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", m.command.Process.Pid, path)
}

func (m *runningMachine) eventually(what string, condition func() bool) {
	m.Helper()
	for deadline := time.After(60 * time.Second); !condition(); {
		select {
		case <-deadline:
			m.Fatalf("never happened: %s\n%s", what, m.log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

const staticPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"still","namespace":"kube-system"},"spec":{"hostNetwork":true,
"containers":[{"name":"still","image":"` + pauseImage + `","imagePullPolicy":"Never","resources":{"limits":{"memory":"32Mi"}}}]}}`

// launchMachine starts a management machine of 3 processors and 4 GiB that runs one static pod and finds no API server.
func launchMachine(t *testing.T, rootFS string) *runningMachine {
	scratch := t.TempDir()
	config, err := json.Marshal(Config{Role: RoleManagement, NodeName: "berth-test", KubernetesVersion: "1.37.2", CPUs: 3, MemoryMiB: 4096,
		KubeconfigFile: "/etc/berth/machine/kubeconfig", ClientCAFile: "/etc/berth/machine/ca.crt", StaticPodDir: "/etc/berth/machine/pods"})
	if err != nil {
		t.Fatal(err)
	}
	authority, err := pki.NewAuthority("test", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"machine/machine.json": string(config), "machine/pods/still.json": staticPod, "machine/ca.crt": string(authority.CertPEM),
		"machine/kubeconfig": `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x"}}],` +
			`"clusters":[{"name":"x","cluster":{"server":"https://127.0.0.1:1"}}]}`,
		"machine/berth-node": string(program), "root/": "", "tmpfs/": "", "containerd/": "", "kubelet/": "",
	} {
		if err := writeTree(scratch, map[string]string{name: content}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(scratch+"/machine/berth-node", 0o755); err != nil {
		t.Fatal(err)
	}
	m := &runningMachine{T: t, command: exec.Command("/proc/self/exe")}
	m.command.Env = []string{partVariable + "=starter", "ROOTFS=" + rootFS, "SCRATCH=" + scratch}
	m.command.Stdout, m.command.Stderr = m, m
	m.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	gate, err := m.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.command.Start(); err != nil {
		t.Skipf("needs the right to make namespaces: %v", err)
	}
	t.Cleanup(func() { _ = m.command.Process.Kill(); _ = m.command.Wait() })
	enterTestCgroups(t, m.command.Process.Pid)
	if err := gate.Close(); err != nil {
		t.Fatal(err)
	}
	return m
}

// enterTestCgroups puts a process into new cgroups, removed at the end, in every hierarchy that this host has mounted.
func enterTestCgroups(t *testing.T, pid int) {
	t.Helper()
	name := fmt.Sprintf("berth-node-test-%d", os.Getpid())
	var roots []string
	for _, pattern := range []string{cgroupRoot, cgroupRoot + "/*"} {
		found, _ := filepath.Glob(pattern + "/cgroup.procs")
		for _, procs := range found {
			roots = append(roots, filepath.Dir(procs))
		}
	}
	if slices.Contains(roots, cgroupRoot) {
		roots = []string{cgroupRoot}
	}
	for _, root := range roots {
		group := filepath.Join(root, name)
		if err := os.Mkdir(group, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeCgroup(t, group) })
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if value, err := os.ReadFile(filepath.Join(root, file)); err == nil && root != cgroupRoot {
				_ = os.WriteFile(filepath.Join(group, file), value, 0o644)
			}
		}
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func removeCgroup(t *testing.T, group string) {
	for deadline := time.Now().Add(10 * time.Second); ; {
		var dirs []string
		_ = filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		var err error
		for _, dir := range slices.Backward(dirs) {
			err = errors.Join(err, syscall.Rmdir(dir))
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("remove %s: %v", group, err)
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}

func TestAMachineBootsRunsAPodAndStops(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces and cgroups")
	}
	m := launchMachine(t, testenv.RootFS(t))
	m.eventually("containerd answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return checkContainerd(m.inside(containerdSocket))(ctx) == nil
	})
	if err := awaitBoot(t.Context(), m.inside(bootedMark), m.inside(initStat), time.Second); err != nil {
		t.Error(err)
	}
	if got := readFile(t, m.inside("/proc/meminfo")); meminfoKiB(got, "MemTotal") != 4096*1024 {
		t.Errorf("the machine's memory is %q", got)
	}
	if n := strings.Count(readFile(t, m.inside("/proc/cpuinfo")), "processor\t"); n != 3 {
		t.Errorf("the machine has %d processors, want 3", n)
	}
	if list, err := readBindList(m.inside(bakedDir + "/" + bindList)); err == nil && len(list) > 0 {
		if points := parseMountPoints([]byte(readFile(t, m.inside("/proc/1/mountinfo")))); !slices.Contains(points, containerdRoot+"/"+list[0]) {
			t.Errorf("baked snapshots were copied, not bound: %v", points)
		}
	}
	before := readFile(t, "/proc/sys/kernel/panic")
	m.eventually("the kubelet has started", func() bool { return strings.Contains(m.log(), "Started kubelet") })
	m.eventually("the static pod runs", func() bool {
		logs, _ := filepath.Glob(m.inside("/var/log/pods/kube-system_still-*/still/0.log"))
		return len(logs) == 1
	})
	if after := readFile(t, "/proc/sys/kernel/panic"); after != before {
		t.Errorf("the kubelet changed the host's kernel.panic from %q to %q", before, after)
	}

	ended := make(chan error, 1)
	go func() { ended <- m.command.Wait() }()
	if err := m.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil || !strings.Contains(m.log(), "init       | stopped") {
			t.Errorf("stopped with %v:\n%s", err, m.log())
		}
	case <-time.After(30 * time.Second):
		t.Errorf("not stopped within 30 s:\n%s", m.log())
	}
}
