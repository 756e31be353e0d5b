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
	inside := machineProcesses(t, e)
	e.Run("berth", "down", "--state-dir", e.State)
	compareHosts(t, before, hostState(t, e))
	if err := nobodyLeft(inside); err != nil {
		t.Error(err)
	}

	// What a killed supervisor leaves is what the host finds after a restart: an up goes on from there, and a down too.
	for range 2 {
		e.Up()
		inside = machineProcesses(t, e)
		kill(t, e)
		e.Eventually("everything in the machine ends with its supervisor", 20*time.Second, func() error {
			return nobodyLeft(inside)
		})
	}
	e.Run("berth", "down", "--state-dir", e.State)
	e.Run("berth", "down", "--state-dir", e.State)
	compareHosts(t, before, hostState(t, e))
	if err := nobodyLeft(inside); err != nil {
		t.Error(err)
	}
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

// machineProcesses are the processes in the machine's cgroups and all that share
// a namespace with one of them, each with its start time: pids and the numbers
// of namespaces are used again.
func machineProcesses(t *testing.T, e *harness.Env) map[int]string {
	t.Helper()
	all := namespacesByProcess(t)
	own, inside := all[os.Getpid()], map[string]bool{}
	for _, group := range berthCgroups(t, e) {
		err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil //nolint:nilerr // a cgroup that ends while it is walked holds nothing
			}
			raw, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(raw)) {
				pid, _ := strconv.Atoi(field)
				maps.Copy(inside, all[pid])
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	found := map[int]string{}
	for pid, in := range all {
		for ns := range in {
			if inside[ns] && !own[ns] {
				found[pid] = startTime(pid)
			}
		}
	}
	if len(found) < 10 {
		t.Fatalf("only %d processes of the machine were found", len(found))
	}
	return found
}

func nobodyLeft(processes map[int]string) error {
	for pid, started := range processes {
		if started != "" && startTime(pid) == started {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			groups, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
			return fmt.Errorf("process %d of the machine is still there:\n%s%s", pid, status, groups)
		}
	}
	return nil
}

// startTime is when a process started, in the kernel's terms, or empty once it has ended.
func startTime(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
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
