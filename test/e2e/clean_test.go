package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"berth.dev/berth/internal/host"
	"berth.dev/berth/test/harness"
)

// TestDownLeavesTheHostAsItWas compares everything that Berth touches before an
// up and after a down: once after an orderly life, and once after the
// supervisor was killed in the middle of it.
func TestDownLeavesTheHostAsItWas(t *testing.T) {
	e := harness.New(t)
	before := hostState(t, e)
	e.Up()
	while := hostState(t, e)
	for _, what := range []string{"links", "routes", "firewall", "cgroups"} {
		if before[what] == while[what] {
			t.Fatalf("%s are the same while Berth is up: this test would not notice what is left", what)
		}
	}
	inside := insideNamespaces(t, e)
	e.Run("berth", "down", "--state-dir", e.State)
	compareHosts(t, before, hostState(t, e))
	nobodyIn(t, inside)

	e.Up()
	inside = insideNamespaces(t, e)
	kill(t, e)
	e.Eventually("everything in the machine ends with its supervisor", 20*time.Second, func() error {
		for pid, in := range namespacesByProcess(t) {
			for ns := range in {
				if inside[ns] {
					return fmt.Errorf("process %d is still in %s", pid, ns)
				}
			}
		}
		return nil
	})
	e.Run("berth", "down", "--state-dir", e.State)
	e.Run("berth", "down", "--state-dir", e.State)
	compareHosts(t, before, hostState(t, e))
	nobodyIn(t, inside)
}

// hostState is what Berth changes while it is up.
func hostState(t *testing.T, e *harness.Env) map[string]string {
	t.Helper()
	state := map[string]string{"firewall": e.Run("nft", "list", "ruleset"), "mounts": read(t, "/proc/self/mountinfo")}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		state["links"] += link.Attrs().Name + " "
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	state["routes"] = fmt.Sprint(routes)
	for _, name := range []string{"net/ipv4/ip_forward", "kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "kernel/keys/root_maxkeys"} {
		state[name] = read(t, "/proc/sys/"+name)
	}
	state["cgroups"] = strings.Join(berthCgroups(t, e), " ")
	return state
}

// berthCgroups are the cgroups that this Berth has made.
func berthCgroups(t *testing.T, e *harness.Env) []string {
	t.Helper()
	paths, err := host.NewPaths(e.State)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/" + paths.Name(), "/sys/fs/cgroup/*/" + paths.Name()} {
		groups, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, groups...)
	}
	slices.Sort(found)
	return found
}

func compareHosts(t *testing.T, before, after map[string]string) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(before)) {
		if before[what] != after[what] {
			t.Errorf("%s are not as they were:\nbefore: %s\nafter:  %s", what, before[what], after[what])
		}
	}
}

// insideNamespaces are the network, mount and pid namespaces of this Berth's
// processes that this test's own process is not in.
func insideNamespaces(t *testing.T, e *harness.Env) map[string]bool {
	t.Helper()
	all := namespacesByProcess(t)
	own, inside := all[os.Getpid()], map[string]bool{}
	for _, group := range berthCgroups(t, e) {
		err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil
			}
			raw, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(raw)) {
				pid, _ := strconv.Atoi(field)
				for ns := range all[pid] {
					if !own[ns] {
						inside[ns] = true
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(inside) == 0 {
		t.Fatal("no process of the machine was found")
	}
	return inside
}

func nobodyIn(t *testing.T, inside map[string]bool) {
	t.Helper()
	for pid, in := range namespacesByProcess(t) {
		for ns := range in {
			if inside[ns] {
				t.Errorf("process %d (%s) is still in %s", pid, read(t, fmt.Sprintf("/proc/%d/comm", pid)), ns)
			}
		}
	}
}

func namespacesByProcess(t *testing.T) map[int]map[string]bool {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]map[string]bool{}
	for _, dir := range processes {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		found[pid] = map[string]bool{}
		for _, kind := range []string{"net", "mnt", "pid"} {
			// A process that has ended meanwhile is in none.
			if ns, err := os.Readlink(filepath.Join(dir, "ns", kind)); err == nil {
				found[pid][ns] = true
			}
		}
	}
	return found
}

// kill ends the supervisor of a Berth as a crash would.
func kill(t *testing.T, e *harness.Env) {
	t.Helper()
	var record struct{ Process struct{ PID int } }
	if err := json.Unmarshal([]byte(read(t, filepath.Join(e.State, "run", "supervisor.json"))), &record); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(record.Process.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
