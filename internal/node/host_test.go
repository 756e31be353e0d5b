package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth.dev/berth/internal/node/supervise"
)

func TestPlanCgroups(t *testing.T) {
	for _, c := range []struct {
		why  string
		self string
		v2   bool
		v1   []cgroupV1Mount
	}{
		{"a unified host has one line", "0::/pod/x\n", true, nil},
		{"each hierarchy of version 1 is mounted by its controllers", "3:memory:/a\n1:pids:/\n", false,
			[]cgroupV1Mount{{Dir: "memory", Options: "memory"}, {Dir: "pids", Options: "pids"}}},
		{"hierarchies that are shared are found by each name", "4:cpu,cpuacct:/\n", false,
			[]cgroupV1Mount{{Dir: "cpu,cpuacct", Options: "cpu,cpuacct", Links: []string{"cpu", "cpuacct"}}}},
		{"systemd's has no controller", "1:name=systemd:/\n", false, []cgroupV1Mount{{Dir: "systemd", Options: "none,name=systemd"}}},
		{"a hybrid host counts as version 1", "9:name=systemd:/\n8:pids:/\n0::/\n", false,
			[]cgroupV1Mount{{Dir: "pids", Options: "pids"}, {Dir: "systemd", Options: "none,name=systemd"}}},
	} {
		v2, v1 := planCgroups(c.self)
		if v2 != c.v2 || !reflect.DeepEqual(v1, c.v1) {
			t.Errorf("%s: got %t %+v, want %t %+v", c.why, v2, v1, c.v2, c.v1)
		}
	}
}

func TestDelegateCgroupV2MovesInitAsideFirst(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte("cpuset cpu io memory pids\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := delegateCgroupV2(root, 1); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, filepath.Join(root, initCgroup, "cgroup.procs")); got != "1" {
		t.Errorf("init is not in its own group: %q", got)
	}
	// A plain file keeps the last write only.
	if got := readFile(t, filepath.Join(root, "cgroup.subtree_control")); got != "+pids" {
		t.Errorf("controllers are not delegated one by one: %q", got)
	}
}

const hostMeminfo = `MemTotal:       24683620 kB
MemFree:        12341810 kB
MemAvailable:   23799484 kB
Buffers:          110380 kB
SwapTotal:       1048576 kB
SwapFree:        1048576 kB
`

func TestResizeMeminfo(t *testing.T) {
	got := resizeMeminfo(hostMeminfo, 8192)
	for key, want := range map[string]int64{"MemTotal": 8388608, "MemFree": 4194304, "SwapTotal": 0, "Cached": 0} {
		if kib := meminfoKiB(got, key); kib != want {
			t.Errorf("%s is %d kB, want %d", key, kib, want)
		}
	}
	if !strings.HasPrefix(got, "MemTotal:        8388608 kB\n") {
		t.Errorf("not in the kernel's form: %q", got)
	}
}

func TestResizeCPUInfo(t *testing.T) {
	amd := "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu MHz\t\t: 2096.018\nphysical id\t: 3\nsiblings\t: 2\ncore id\t\t: 7\ncpu cores\t: 2\napicid\t\t: 9\n\nprocessor\t: 1\n\n"
	got := resizeCPUInfo(amd, 4)
	for text, want := range map[string]int{"processor\t: ": 4, "vendor_id\t: AuthenticAMD": 4, "cpu MHz\t\t: 2096.018": 4, "physical id\t: 0": 4,
		"siblings\t: 4": 4, "core id\t\t: 3": 1, "apicid\t\t: 2": 1, "processor\t: 3": 1, "processor\t: 4": 0} {
		if n := strings.Count(got, text); n != want {
			t.Errorf("%q occurs %d times, want %d, in\n%s", text, n, want, got)
		}
	}
	if n := strings.Count("\n"+resizeCPUInfo("processor\t: 0\nBogoMIPS\t: 50.00\n", 3), "\nprocessor"); n != 3 {
		t.Errorf("%d processors of a kind without cores, want 3", n)
	}
}

func TestSysfsTreeCountsProcessorsAndPlacesNone(t *testing.T) {
	root := t.TempDir()
	if err := writeTree(root, sysfsTree(3)); err != nil {
		t.Fatal(err)
	}
	// These are the two patterns by which cadvisor looks.
	cpus, _ := filepath.Glob(root + "/cpu/cpu*[0-9]")
	nodes, _ := filepath.Glob(root + "/node/node*[0-9]")
	if len(cpus) != 3 || len(nodes) != 0 {
		t.Errorf("got %v and %v, want 3 processors and no node", cpus, nodes)
	}
	if got := readFile(t, root+"/cpu/online"); got != "0-2\n" {
		t.Errorf("online is %q", got)
	}
	if got := sysfsTree(1)["cpu/online"]; got != "0" {
		t.Errorf("online of one processor is %q", got)
	}
}

func TestSysctlApply(t *testing.T) {
	for _, c := range []struct {
		why    string
		sysctl sysctl
		before string
		want   string
	}{
		{"a wrong value is set", sysctl{Name: "net.ipv4.ip_forward", Value: 1}, "0\n", "1"},
		{"a right one is not touched", sysctl{Name: "net.ipv4.ip_forward", Value: 1}, "1\n", "1\n"},
		{"limits are raised", sysctl{Name: "fs.inotify.max_user_instances", Value: 8192, AtLeast: true}, "128\n", "8192"},
		{"and never lowered", sysctl{Name: "fs.inotify.max_user_instances", Value: 8192, AtLeast: true}, "65536\n", "65536\n"},
	} {
		root := t.TempDir()
		if err := writeFile(c.sysctl.path(root), []byte(c.before), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := c.sysctl.apply(root); err != nil {
			t.Fatal(err)
		}
		if got := readFile(t, c.sysctl.path(root)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.why, got, c.want)
		}
	}
	if err := (sysctl{Name: "no.such", Value: 1}).apply(t.TempDir()); err == nil {
		t.Error("a parameter that the kernel lacks is no error")
	}
}

func TestTheManagementMachineLeavesTheHostsLimitsToItsStarter(t *testing.T) {
	for role, wants := range map[string]bool{RoleAgent: true, RoleManagement: false} {
		raises := slices.ContainsFunc(machineSysctls(role), func(s sysctl) bool { return strings.HasPrefix(s.Name, "fs.") })
		if raises != wants {
			t.Errorf("%s raises limits of the host: %t, want %t", role, raises, wants)
		}
	}
}

func TestCompleteHosts(t *testing.T) {
	for _, c := range []struct{ why, before, want string }{
		{"an empty root file system has no hosts", "", "127.0.0.1\tlocalhost\n10.0.0.5\tnode-1\n"},
		{"a pod's hosts file has all", "127.0.0.1 localhost\n10.0.0.5\tnode-1\n", "127.0.0.1 localhost\n10.0.0.5\tnode-1\n"},
		{"a comment is no entry", "127.0.0.1 localhost # node-1", "127.0.0.1 localhost # node-1\n10.0.0.5\tnode-1\n"},
	} {
		path := filepath.Join(t.TempDir(), "hosts")
		if c.before != "" {
			if err := os.WriteFile(path, []byte(c.before), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := completeHosts(path, "node-1", "10.0.0.5"); err != nil {
			t.Fatal(err)
		}
		if got := readFile(t, path); got != c.want {
			t.Errorf("%s: got %q, want %q", c.why, got, c.want)
		}
	}
}

func TestCompleteResolvConfReplacesADanglingLink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.Symlink("/nonexistent/stub", path); err != nil {
		t.Fatal(err)
	}
	if err := completeResolvConf(path); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, path); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestMachineIDIsStableAndItsOwn(t *testing.T) {
	a, b := agentConfig(), agentConfig()
	b.NodeName = "other"
	if machineID(a) != machineID(agentConfig()) || machineID(a) == machineID(b) {
		t.Errorf("ids: %x, %x, %x", machineID(a), machineID(a), machineID(b))
	}
	if got := uuid([16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}); got != "01020304-0506-0708-090a-0b0c0d0e0f10" {
		t.Errorf("uuid is %s", got)
	}
}

func TestParseMountPoints(t *testing.T) {
	got := parseMountPoints([]byte("22 1 0:21 / /proc rw - proc proc rw\n23 1 0:22 / /mnt/a\\040b rw shared:1 - tmpfs x rw\n"))
	if want := []string{"/proc", "/mnt/a b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAddUserIsIdempotent(t *testing.T) {
	root := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("needs root: chown")
	}
	if err := writeFile(root+"/etc/passwd", []byte("root:x:0:0:root:/root:/bin/bash"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := addUser(root, "azureuser", []string{"ssh-ed25519 AAAA me"}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := readFile(t, root+"/etc/passwd"), "root:x:0:0:root:/root:/bin/bash\nazureuser:x:1000:1000::/home/azureuser:/bin/bash\n"; got != want {
		t.Errorf("passwd is %q, want %q", got, want)
	}
	if got := readFile(t, root+"/etc/shadow"); !strings.HasPrefix(got, "azureuser:*:") {
		t.Errorf("the account can have a password: %q", got)
	}
	if got := readFile(t, root+"/home/azureuser/.ssh/authorized_keys"); got != "ssh-ed25519 AAAA me\n" {
		t.Errorf("keys are %q", got)
	}
}

func TestContainerProcessesAreTheChildrenOfOwnShims(t *testing.T) {
	proc := t.TempDir()
	for pid, stat := range map[string]string{
		"1":  "1 (berth-node) S 0 1",
		"10": "10 (containerd) S 1 10",
		"20": "20 (containerd-shim) S 1 20",
		"21": "21 (pause) S 20 21",
		"22": "22 (a) b (c)) S 20 22",
		"23": "23 (gone) Z 20 23",
		"30": "30 (sh) S 22 30", // started by a container: the container's to stop
		"40": "40 (containerd-shim) S 22 40",
		"41": "41 (nested) S 40 41", // of a machine in a container: that machine's to stop
	} {
		if err := writeFile(filepath.Join(proc, pid, "stat"), []byte(stat), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, err := processes(proc)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, p := range containerProcesses(all) {
		got = append(got, p.PID)
	}
	slices.Sort(got)
	if want := []int{21, 22}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestStoresEndLast(t *testing.T) {
	kube, etcd, web := process{2, 1, "kube"}, process{3, 1, "etcd"}, process{4, 1, "web"}
	for _, c := range []struct {
		why        string
		left, want []process
		late       bool
	}{
		{"whoever writes goes first", []process{etcd, kube, web}, []process{kube, web}, false},
		{"a store that is left alone goes", []process{etcd}, []process{etcd}, false},
		{"and does not wait for ever", []process{kube, etcd}, []process{kube, etcd}, true},
		{"without stores all go at once", []process{kube, web}, []process{kube, web}, false},
	} {
		if got := due(c.left, c.late); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

func TestOnlyManagedComponentsAreAskedInTheirOwnWay(t *testing.T) {
	const own, customers = "0f0e0d0c-0b0a-4f4e-8d8c-123456789abc", "aaaaaaaa-0b0a-4f4e-8d8c-123456789abc"
	proc, logs := t.TempDir(), t.TempDir()
	for path, content := range map[string]string{
		filepath.Join(proc, "10", "cgroup"):                               "4:cpu:/kubepods/burstable/pod" + own + "/c1\n",
		filepath.Join(proc, "11", "cgroup"):                               "0::/kubepods/besteffort/pod" + customers + "/c2\n",
		filepath.Join(logs, "kube-system_coredns-x_"+own, "coredns", "0"): "",
		filepath.Join(logs, "default_coredns-y_"+customers, "dns", "0"):   "",
	} {
		if err := writeFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		why  string
		p    process
		want manner
	}{
		{"CoreDNS is not waited for", process{10, 1, "coredns"}, manner{syscall.SIGKILL, false}},
		{"konnectivity's agent is asked again", process{10, 1, "proxy-agent"}, manner{syscall.SIGTERM, true}},
		{"a customer's of that name is asked as all are", process{11, 1, "coredns"}, manner{syscall.SIGTERM, false}},
		{"so is another program of the service", process{10, 1, "kube"}, manner{syscall.SIGTERM, false}},
		{"and one that has ended meanwhile", process{12, 1, "coredns"}, manner{syscall.SIGTERM, false}},
	} {
		if got := mannerOf(c.p, proc, logs); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.why, got, c.want)
		}
	}
}

func TestCheckContainerdReadsItsHealthService(t *testing.T) {
	for _, c := range []struct {
		why     string
		status  byte
		healthy bool
	}{{"SERVING", 1, true}, {"NOT_SERVING", 2, false}} {
		socket := filepath.Join(t.TempDir(), "s")
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		server := &http.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/grpc.health.v1.Health/Check" || r.Header.Get("Content-Type") != "application/grpc" || r.ProtoMajor != 2 {
				t.Errorf("not a gRPC health check: %s %v", r.URL, r.Header)
			}
			message := []byte{0x08, c.status}
			frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
			_, _ = w.Write(append(frame, message...))
		})}
		go func() { _ = server.Serve(listener) }()
		err = checkContainerd(socket)(t.Context())
		if (err == nil) != c.healthy {
			t.Errorf("%s: got %v", c.why, err)
		}
		_ = server.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := checkContainerd("/nonexistent/socket")(ctx); err == nil {
		t.Error("a containerd that is not there is healthy")
	}
}

func TestFindProgramWantsAnExecutable(t *testing.T) {
	if path, err := findProgram("sh"); err != nil || !strings.HasSuffix(path, "/sh") {
		t.Errorf("got %q, %v", path, err)
	}
	if _, err := findProgram("no-such-program"); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("got %v", err)
	}
}

func TestEmptyRunLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := writeFile(dir+"/containerd/stale.sock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := emptyRun(dir); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

func TestEnsureKernelLogKeepsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ensureKernelLog(path); err != nil || readFile(t, path) != "x" {
		t.Errorf("replaced, %v", err)
	}
	if err := ensureKernelLog(filepath.Join(filepath.Dir(path), "none")); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(filepath.Dir(path), "none")); err != nil {
		t.Error(err)
	}
}

func TestReplaceKernelFileThatIsMissingIsNoError(t *testing.T) {
	var out bytes.Buffer
	m := &machine{lines: supervise.NewLines(&out)}
	m.replaceKernelFile("/proc/no/such/file", "1")
	if out.Len() != 0 {
		t.Errorf("got %q", out.String())
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
