package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inNamespace marks a test that runs again in a network namespace of its own.
const inNamespace = "BERTH_TEST_IN_NAMESPACE"

// TestMain lets the test program be `berth host …`, which the supervisor and
// the machine are started as.
func TestMain(m *testing.M) {
	commands := map[string]func() *cobra.Command{"host": NewHostRunCommand, "up": NewUpCommand, "down": NewDownCommand}
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		command := commands[os.Args[1]]()
		command.SilenceUsage, command.SilenceErrors = true, true
		command.SetArgs(os.Args[2:])
		// Go may run a command on any thread, and much of what is done here belongs to
		// one thread: it must not depend on being the process's first.
		runtime.LockOSThread()
		ended := make(chan error)
		go func() { ended <- command.Execute() }()
		if err := <-ended; err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// isolate runs the test in a network namespace of its own, where the link, the
// ports and the firewall of a Berth that may be up on this host are not. It
// returns false in the outer run, which is then done.
func isolate(t *testing.T) bool {
	t.Helper()
	if testing.Short() {
		t.Skip("starts machines")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes namespaces and cgroups")
	}
	if os.Getenv(inNamespace) == "" {
		command := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=120s")
		command.Env = append(os.Environ(), inNamespace+"=1")
		command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("in a network namespace: %v\n%s", err, output)
		}
		return false
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// world is what Berth may change on a host.
func world(t *testing.T) map[string]string {
	t.Helper()
	out := func(name string, args ...string) string {
		raw, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, raw)
		}
		return string(raw)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, link := range links {
		names += link.Attrs().Name + "\n"
	}
	seen := map[string]string{"nft": out("nft", "list", "ruleset"), "mounts": string(mounts), "links": names, "routes": fmt.Sprint(routes)}
	all, err := hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		groups, err := filepath.Glob(filepath.Join(h.Mount, "berth-*"))
		if err != nil {
			t.Fatal(err)
		}
		seen["cgroups "+h.Mount] = strings.Join(groups, " ")
	}
	for _, setting := range sysctls() {
		raw, err := os.ReadFile(filepath.Join(sysctlRoot, setting.Name))
		if err == nil {
			seen[setting.Name] = string(raw)
		}
	}
	return seen
}

func sameWorld(t *testing.T, before map[string]string) {
	t.Helper()
	for what, now := range world(t) {
		if before[what] != now {
			t.Errorf("%s is not as it was:\nbefore: %s\nafter:  %s", what, before[what], now)
		}
	}
}

// fakeBuild is a build directory whose machine runs testdata/init.
func fakeBuild(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "rootfs", "v1.2.3")
	for _, sub := range []string{"usr/local/bin", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"baked-management", "images"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"catalogue.json":              `{"releases":[{"version":"1.2.3","default":true,"kubeImage":"kube"}],"images":{"pause":"pause","etcd":"etcd","berth":"berth","berth-node":"berth-node"}}`,
		"baked-management/images.txt": "pause\netcd\nkube\nberth\nberth-node\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", filepath.Join(root, "usr/local/bin/berth-node"), "./testdata/init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build testdata/init: %v\n%s", err, output)
	}
	return dir
}

// start brings up a supervisor over a new state directory.
func start(t *testing.T, u *upper) process {
	t.Helper()
	if err := u.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	record := runningSupervisor(u.paths)
	if record == nil {
		t.Fatal("the supervisor left no record")
	}
	return record.Process
}

func newUpper(t *testing.T) *upper {
	t.Helper()
	paths, err := NewPaths(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	if err := paths.create(); err != nil {
		t.Fatal(err)
	}
	if _, err := ensureInstance(paths, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	artifacts, err := FindArtifacts(fakeBuild(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Down(context.Background(), DownOptions{StateDir: paths.State, Out: io.Discard}) })
	return &upper{paths: paths, artifacts: artifacts, progress: newProgress(io.Discard)}
}

type seen struct {
	PID                                                           int
	Hostname, Addresses, Resolv, BakedError, RootError, HostError string
	Cgroups, Mounts, Environment                                  []string
}

// machineSees waits for the report of the machine's init, and takes it away.
func machineSees(t *testing.T, paths Paths) seen {
	t.Helper()
	path := filepath.Join(paths.machine("log"), "seen.json")
	var report seen
	err := poll(20*time.Second, func() (bool, error) {
		raw, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return true, errors.Join(json.Unmarshal(raw, &report), os.Remove(path))
	})
	if err != nil {
		t.Fatalf("the machine did not report: %v\n%s\n%s", err, tail(paths.log("supervisor.log")), tail(paths.log("machine.log")))
	}
	return report
}

func ask(t *testing.T, address, say string) (answer, from string) {
	t.Helper()
	connection, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	from = connection.LocalAddr().String()
	if _, err := io.WriteString(connection, say); err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(connection)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), from
}

func TestMachineHasAWorldOfItsOwn(t *testing.T) {
	if !isolate(t) {
		return
	}
	u := newUpper(t)
	before := world(t)
	service, err := net.Listen("tcp", ":4711")
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	start(t, u)
	got := machineSees(t, u.paths)
	if got.HostError == "" {
		t.Error("the machine reaches the host's own services")
	}
	if got.PID != 1 || got.Hostname != MachineName {
		t.Errorf("init is process %d of %q, want 1 of %q", got.PID, got.Hostname, MachineName)
	}
	if !strings.Contains(got.Addresses, MachineAddress+"/30") {
		t.Errorf("the machine has addresses %s, not %s", got.Addresses, MachineAddress)
	}
	for _, line := range got.Cgroups {
		if !strings.HasSuffix(line, ":/") {
			t.Errorf("cgroup %s is not the root of a cgroup namespace: the kubelet would own the host's groups", line)
		}
	}
	for _, line := range got.Mounts {
		if !strings.Contains(line, "shared:") {
			t.Errorf("mount is not shared: %s", line)
		}
	}
	if got.BakedError == "" {
		t.Error("the machine can write to the build directory")
	}
	if got.RootError != "" {
		t.Errorf("the machine cannot write to its own root: %s", got.RootError)
	}
	if !slices.Equal(got.Environment[1:], []string{"HOME=/root", "container=berth"}) {
		t.Errorf("the machine got the environment %v", got.Environment)
	}
	init := machineProcesses(t, u)[0]
	rules, err := exec.Command("nsenter", "-t", fmt.Sprint(init.PID), "-n", "nft", "list", "chain", "inet", agentTable, "forward").CombinedOutput()
	if err != nil || !strings.Contains(string(rules), `iifname "veth*" drop`) {
		t.Errorf("pods that start before the network agent are not held back: %v, %s", err, rules)
	}
	if err := Down(t.Context(), DownOptions{StateDir: u.paths.State, Out: io.Discard}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(u.paths.machine("log"), "terminated")); err != nil {
		t.Errorf("the machine was killed without being asked to end: %v", err)
	}
	sameWorld(t, before)
}

func TestProxiesLeadIntoTheMachine(t *testing.T) {
	if !isolate(t) {
		return
	}
	u := newUpper(t)
	start(t, u)
	machineSees(t, u.paths)
	answer, _ := ask(t, ARMAddress, "hello?")
	if !strings.Contains(answer, `"hello?"`) || !strings.Contains(answer, "from "+HostAddress) {
		t.Errorf("ARM's port answers %s", answer)
	}
	answer, from := ask(t, GatewayAddress, "hello?")
	_, port, err := net.SplitHostPort(from)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(answer, `"\r\n\r\n\x00\r\nQUIT\n`) || !strings.Contains(answer, `hello?"`) {
		t.Errorf("the gateway's port answers %s for %s, want a PROXY header first", answer, port)
	}
}

func TestOneKillEndsTheMachineAndDownCleansUp(t *testing.T) {
	if !isolate(t) {
		return
	}
	u := newUpper(t)
	before := world(t)
	supervisor := start(t, u)
	machineSees(t, u.paths)
	machine := machineProcesses(t, u)
	if len(machine) < 2 {
		t.Fatalf("the machine has processes %v, want init and its child", machine)
	}
	if err := supervisor.signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := poll(10*time.Second, func() (bool, error) {
		return !slices.ContainsFunc(machine, process.alive) && !supervisor.alive(), nil
	})
	if err != nil {
		t.Fatalf("processes outlive the supervisor: %v", err)
	}
	for range 2 {
		if err := Down(t.Context(), DownOptions{StateDir: u.paths.State, Out: io.Discard}); err != nil {
			t.Fatal(err)
		}
		sameWorld(t, before)
	}
}

func TestEndedMachineIsStartedAgain(t *testing.T) {
	if !isolate(t) {
		return
	}
	u := newUpper(t)
	supervisor := start(t, u)
	machineSees(t, u.paths)
	for _, p := range machineProcesses(t, u) {
		if err := p.signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	machineSees(t, u.paths)
	if !supervisor.alive() {
		t.Error("the supervisor ended with its machine")
	}
	if answer, _ := ask(t, ARMAddress, "again?"); !strings.Contains(answer, `"again?"`) {
		t.Errorf("the new machine answers %s", answer)
	}
}

func TestSecondSupervisorIsRefused(t *testing.T) {
	if !isolate(t) {
		return
	}
	u := newUpper(t)
	first := start(t, u)
	machineSees(t, u.paths)
	err := runSupervisor(t.Context(), u.paths, u.artifacts)
	if !errors.Is(err, errLocked) {
		t.Errorf("a second supervisor: %v, want %v", err, errLocked)
	}
	if !first.alive() {
		t.Error("the first supervisor ended")
	}
	answer, _ := ask(t, ARMAddress, "still there?")
	if !strings.Contains(answer, "still there?") {
		t.Errorf("the first machine answers %s", answer)
	}
}

func TestPurgeDeletesTheStateDirectory(t *testing.T) {
	if !isolate(t) {
		return
	}
	u := newUpper(t)
	start(t, u)
	machineSees(t, u.paths)
	var output bytes.Buffer
	if err := Down(t.Context(), DownOptions{StateDir: u.paths.State, Purge: true, Out: &output}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(u.paths.State); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory is still there: %v", err)
	}
}

// machineProcesses are the processes in the machine's cgroups.
func machineProcesses(t *testing.T, u *upper) []process {
	t.Helper()
	all, err := hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(all[0].Mount, u.paths.Name(), "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	var found []process
	for _, field := range strings.Fields(string(raw)) {
		var pid int
		if _, err := fmt.Sscan(field, &pid); err != nil {
			t.Fatal(err)
		}
		if p, err := identify(pid); err == nil {
			found = append(found, p)
		}
	}
	return found
}
