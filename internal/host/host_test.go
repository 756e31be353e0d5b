package host

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/identity"
	"berth.dev/berth/internal/node"
	"berth.dev/berth/internal/release"
)

var now = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func TestParseStartTicks(t *testing.T) {
	rest := " S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"
	for _, c := range []struct {
		name, stat string
		want       uint64
		fails      bool
	}{
		{name: "plain name", stat: "7 (sh)" + rest, want: 4711},
		{name: "a name may hold what looks like the end of it", stat: "7 (a) S 1 (b))" + rest, want: 4711},
		{name: "a zombie has ended, though its pid is taken", stat: "7 (sh)" + strings.Replace(rest, " S ", " Z ", 1), fails: true},
		{name: "cut short", stat: "7 (sh) S 1", fails: true},
		{name: "no name", stat: "7", fails: true},
	} {
		got, err := parseStartTicks([]byte(c.stat))
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: %d, %v; want %d, error %v", c.name, got, err, c.want, c.fails)
		}
	}
}

func TestProcessIdentity(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := identify(child.Process.Pid)
	if err != nil || !p.alive() {
		t.Fatalf("a running process is %v, %v", p, err)
	}
	reused, rebooted := p, p
	reused.StartTicks++
	rebooted.BootID = "another"
	for name, other := range map[string]process{"a process that took over the pid": reused, "a process before the host restarted": rebooted, "nobody": {}} {
		if other.alive() {
			t.Errorf("%s is taken for ours", name)
		}
		if other.PID > 0 {
			if err := other.signal(unix.SIGKILL); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if !p.alive() {
		t.Fatal("a signal for another process hit ours")
	}
	if err := p.signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	if p.alive() {
		t.Error("an ended process is alive")
	}
	if err := p.signal(unix.SIGTERM); err != nil {
		t.Errorf("a signal to an ended process: %v", err)
	}
}

func TestParseHierarchies(t *testing.T) {
	v1 := `24 1 0:20 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
25 24 0:21 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
26 24 0:22 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
27 24 0:23 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct
28 24 0:23 / /elsewhere rw - cgroup cgroup rw,cpu,cpuacct
29 1 8:1 / / rw - ext4 /dev/sda rw`
	want := []hierarchy{
		{Mount: "/sys/fs/cgroup/unified", Unified: true},
		{Mount: "/sys/fs/cgroup/systemd", Options: "name=systemd"},
		{Mount: "/sys/fs/cgroup/cpu,cpuacct", Options: "cpu,cpuacct"},
	}
	if got := parseHierarchies([]byte(v1)); !reflect.DeepEqual(got, want) {
		t.Errorf("a hybrid host: %+v, want %+v", got, want)
	}
	v2 := "30 29 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot"
	if got := parseHierarchies([]byte(v2)); !reflect.DeepEqual(got, []hierarchy{{Mount: "/sys/fs/cgroup", Unified: true}}) {
		t.Errorf("a host with cgroup v2 alone: %+v", got)
	}
}

func TestSysctlsAreRaisedAndRestored(t *testing.T) {
	root := t.TempDir()
	write := func(name, value string) {
		if err := os.WriteFile(filepath.Join(root, name), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(raw))
	}
	write("low", "0")
	write("high", "900")
	write("theirs", "5")
	if err := raiseSysctls(root, []sysctl{{"low", 1}, {"high", 100}, {"theirs", 0}}); err != nil {
		t.Fatal(err)
	}
	if read("low") != "1" || read("high") != "900" || read("theirs") != "5" {
		t.Errorf("raised to %s, %s, %s; want 1, 900, 5", read("low"), read("high"), read("theirs"))
	}
	write("theirs", "1")
	if err := restore(root, taken{Sysctls: map[string]string{"low": "0", "high": "900", "theirs": "5"}}, nil); err != nil {
		t.Fatal(err)
	}
	if read("low") != "0" || read("high") != "900" || read("theirs") != "5" {
		t.Errorf("restored to %s, %s, %s; want 0, 900, 5", read("low"), read("high"), read("theirs"))
	}
}

func TestRecordOfAnotherBootIsNotRestored(t *testing.T) {
	paths := newPaths(t)
	before, err := os.ReadFile(filepath.Join(sysctlRoot, "kernel/panic"))
	if err != nil {
		t.Fatal(err)
	}
	stale := taken{BootID: "another boot", Sysctls: map[string]string{"kernel/panic": "4711"}}
	if err := writeJSON(paths.takenRecord(), stale); err != nil {
		t.Fatal(err)
	}
	if err := putBack(paths, nil); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(sysctlRoot, "kernel/panic"))
	if err != nil || string(after) != string(before) {
		t.Errorf("kernel/panic is %s, was %s (%v)", after, before, err)
	}
	if _, err := os.Stat(paths.takenRecord()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the record is still there: %v", err)
	}
}

func TestResolvConf(t *testing.T) {
	for _, c := range []struct {
		name         string
		etc, systemd string
		want         string
	}{
		{"an ordinary host", "nameserver 192.0.2.1\nsearch x", "", "nameserver 192.0.2.1\nsearch x\n"},
		{"a resolver on loopback cannot be reached from the machine", "nameserver 127.0.0.53\noptions edns0", "nameserver 192.0.2.9", "nameserver 192.0.2.9\n"},
		{"of two, the one that can be reached stays", "nameserver ::1\nnameserver 192.0.2.1", "", "nameserver 192.0.2.1\n"},
		{"none at all leaves the rest", "nameserver 127.0.0.1\nsearch x", "", "search x\n"},
	} {
		got := resolvConf(func(path string) ([]byte, error) {
			content := map[string]string{"/etc/resolv.conf": c.etc, "/run/systemd/resolve/resolv.conf": c.systemd}[path]
			if content == "" {
				return nil, os.ErrNotExist
			}
			return []byte(content), nil
		})
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestKeysAreMadeOnce(t *testing.T) {
	paths := newPaths(t)
	first, err := ensureBerthKeys(paths, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := kubernetesKeys(paths, now); err != nil {
		t.Fatal(err)
	}
	before := readAll(t, paths.State)
	again, err := ensureBerthKeys(paths, now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := kubernetesKeys(paths, now.AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first, again) || !reflect.DeepEqual(before, readAll(t, paths.State)) {
		t.Error("a second up made other keys: everything that trusts the first is cut off")
	}
	if strings.Contains(first.ClientSecretHash, first.ClientSecret) || first.ClientSecret == "" {
		t.Error("the hash holds the secret")
	}
	password, err := os.ReadFile(filepath.Join(paths.berthPKI(), "user-password"))
	if err != nil || len(password) == 0 || string(password) == first.ClientSecret || strings.Contains(first.UserPasswordHash, string(password)) {
		t.Errorf("the user's password is %d bytes long, or not its own: %v", len(password), err)
	}
	for name, mode := range modes(t, paths.State) {
		if mode&0o077 != 0 {
			t.Errorf("%s has mode %o: others can read it", name, mode)
		}
	}
}

func TestHashesFollowTheSecrets(t *testing.T) {
	for _, c := range []struct {
		why  string
		edit func(path string) error
		ok   func(before, after string) bool
	}{
		{"a secret that was deleted is drawn anew", os.Remove, func(before, after string) bool { return after != "" && after != before }},
		{"the operator's own secret holds, without the editor's line end",
			func(path string) error { return os.WriteFile(path, []byte("chosen by hand\n"), 0o600) },
			func(_, after string) bool { return after == "chosen by hand" }},
		{"a hash alone that was deleted is made for the same secret",
			func(path string) error { return os.Remove(path + "-hash") },
			func(before, after string) bool { return after == before }},
		{"a damaged hash likewise",
			func(path string) error { return os.WriteFile(path+"-hash", []byte("x"), 0o600) },
			func(before, after string) bool { return after == before }},
	} {
		k := keystore{t.TempDir(), now}
		before, oldHash, err := k.secret("password")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.edit(k.path("password")); err != nil {
			t.Fatal(err)
		}
		after, hash, err := k.secret("password")
		if err != nil || !c.ok(before, after) || hash == oldHash || !identity.Matches(hash, after) {
			t.Errorf("%s: secret %q then %q, the hash matches %v, error %v", c.why, before, after, identity.Matches(hash, after), err)
		}
		if _, again, err := k.secret("password"); err != nil || again != hash {
			t.Errorf("%s: the next up makes another hash, which ends all refresh tokens: %v", c.why, err)
		}
	}
	k := keystore{t.TempDir(), now}
	if err := os.WriteFile(k.path("password"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.secret("password"); err == nil {
		t.Error("an empty secret is taken")
	}
}

func TestMachineFiles(t *testing.T) {
	paths := newPaths(t)
	catalogue := &release.Catalogue{
		Releases: []release.Release{{Version: "1.37.2", Default: true, KubeImage: "kube:v1.37.2"}},
		Images:   map[string]string{"etcd": "etcd:v3"},
	}
	if err := writeMachine(paths, catalogue, []byte("ca")); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(paths.machine("config"), "machine.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config node.Config
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(); err != nil {
		t.Errorf("the machine will not boot: %v", err)
	}
	mounted := map[string]string{}
	for _, b := range paths.machineDirs() {
		mounted[b.Target] = b.Source
	}
	for _, name := range []string{"etcd", "kube"} {
		raw, err := os.ReadFile(filepath.Join(mounted["/etc/kubernetes"], "manifests", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var pod corev1.Pod
		if err := yaml.UnmarshalStrict(raw, &pod); err != nil {
			t.Fatal(err)
		}
		if !pod.Spec.HostNetwork || pod.Spec.Containers[0].Image == "" {
			t.Errorf("%s: %+v", name, pod.Spec)
		}
		for _, volume := range pod.Spec.Volumes {
			if mounted[volume.HostPath.Path] == "" {
				t.Errorf("%s mounts %s, which does not outlive the machine", name, volume.HostPath.Path)
			}
		}
	}
}

// Every file that a flag of the control plane names must be one that an up makes.
func TestControlPlaneFlagsNameFilesThatExist(t *testing.T) {
	paths := newPaths(t)
	if err := kubernetesKeys(paths, now); err != nil {
		t.Fatal(err)
	}
	catalogue := &release.Catalogue{Releases: []release.Release{{Version: "1.37.2", Default: true}}}
	if err := writeMachine(paths, catalogue, []byte("ca")); err != nil {
		t.Fatal(err)
	}
	flags := append(append(apiServerFlags(), controllerManagerFlags()...), schedulerFlags()...)
	flags = append(flags, etcdPod("").Spec.Containers[0].Args...)
	named := 0
	for _, flag := range flags {
		_, value, _ := strings.Cut(flag, "=")
		path, ok := strings.CutPrefix(value, machinePKI+"/")
		dir := paths.kubernetesPKI()
		if !ok {
			path, ok = strings.CutPrefix(value, "/etc/kubernetes/")
			dir = paths.machine("kubernetes")
		}
		if !ok {
			continue
		}
		named++
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if named < 20 {
		t.Errorf("only %d flags name files", named)
	}
}

func TestExports(t *testing.T) {
	got := exports([]Variable{{"A", "/plain/path-1.2"}, {"B", "it's $HOME"}, {"C", ""}})
	if want := "export A=/plain/path-1.2\nexport B='it'\\''s $HOME'\nexport C=''\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	output, err := exec.Command("sh", "-c", got+`printf %s "$B"`).Output()
	if err != nil || string(output) != "it's $HOME" {
		t.Errorf("a shell reads %q, %v", output, err)
	}
}

func TestPurgeRefusesMountsBelow(t *testing.T) {
	mountinfo := []byte("1 0 8:1 / / rw - ext4 x rw\n2 1 8:1 / /var/lib/berth rw - ext4 x rw\n3 1 8:1 / /var/lib/berth/machine/a\\040b rw - ext4 x rw\n4 1 8:1 / /var/lib/berthing rw - ext4 x rw\n")
	if got := mountsBelow(mountinfo, "/var/lib/berth"); !reflect.DeepEqual(got, []string{"/var/lib/berth/machine/a b"}) {
		t.Errorf("mounts below: %q", got)
	}
}

func TestLockKeepsOthersOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(path); !errors.Is(err, errLocked) {
		t.Errorf("a second lock: %v, want %v", err, errLocked)
	}
	held.Close()
	again, err := lock(path)
	if err != nil {
		t.Fatalf("after the first was let go: %v", err)
	}
	again.Close()
}

func TestClusterStatusCountsItsOwnPools(t *testing.T) {
	three, one := int32(3), int32(1)
	mc := v1beta1.ManagedCluster{Spec: v1beta1.ManagedClusterSpec{ResourceGroup: "RG", Name: "c"}}
	mc.Namespace, mc.Name = "sub-a", v1beta1.ObjectName("RG", "c")
	pool := func(namespace, cluster string, ready int32, count *int32) v1beta1.AgentPool {
		p := v1beta1.AgentPool{Spec: v1beta1.AgentPoolSpec{ResourceGroup: "rg", ClusterName: cluster}, Status: v1beta1.AgentPoolStatus{ReadyCount: ready}}
		p.Namespace, p.Spec.Count = namespace, count
		return p
	}
	got := clusterStatus(mc, []v1beta1.AgentPool{pool("sub-a", "c", 2, &three), pool("sub-a", "C", 1, &one), pool("sub-a", "d", 5, nil), pool("sub-b", "c", 7, &three)})
	if got.ReadyNodes != 3 || got.Nodes != 4 {
		t.Errorf("%d of %d nodes are ready, want 3 of 4", got.ReadyNodes, got.Nodes)
	}
}

func TestStatusOfNothing(t *testing.T) {
	status, err := ReadStatus(t.Context(), t.TempDir())
	if err != nil || status.State != stateDown {
		t.Fatalf("%+v, %v", status, err)
	}
	var text strings.Builder
	if err := status.Print(&text, now); err != nil || !strings.Contains(text.String(), "berth up") {
		t.Errorf("%q, %v: want the command that helps", text.String(), err)
	}
}

func newPaths(t *testing.T) Paths {
	t.Helper()
	paths, err := NewPaths(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	if err := paths.create(); err != nil {
		t.Fatal(err)
	}
	return paths
}

func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	content := map[string]string{}
	for name := range modes(t, dir) {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		content[name] = string(raw)
	}
	return content
}

func modes(t *testing.T, dir string) map[string]os.FileMode {
	t.Helper()
	found := map[string]os.FileMode{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		found[strings.TrimPrefix(path, dir+"/")] = info.Mode().Perm()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
