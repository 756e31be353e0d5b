package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// stopServiceWithin is how long one of the machine's own services may take to end.
	stopServiceWithin = 4 * time.Second
	// stopContainersWithin is how long containers may take after SIGTERM.
	stopContainersWithin = 10 * time.Second
	shimName             = "containerd-shim"
	// storeName is the process that others store in.
	storeName = "etcd"
	podLogs   = "/var/log/pods"
	// managedNamespace has the pods of the managed components.
	managedNamespace = "kube-system"
)

// manner is how a process is asked to end.
type manner struct {
	Signal syscall.Signal
	// Again asks it each time that it is looked at, and not only once.
	Again bool
}

// manners of managed components (A5) that take SIGTERM in a way of their own.
var manners = map[string]manner{
	// Konnectivity's agent takes the first for a request to drain, and ends at the second.
	"proxy-agent": {syscall.SIGTERM, true},
	// CoreDNS would answer for some seconds more, for clients that learn meanwhile where else to ask. A drain has taken it
	// elsewhere by now; where all nodes go there are no clients.
	"coredns": {syscall.SIGKILL, false},
}

// process is one line of the process table.
type process struct {
	PID, Parent int
	Name        string
}

// processes reads the process table from proc.
func processes(proc string) ([]process, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(proc, entry.Name(), "stat"))
		if err != nil {
			continue // it ended meanwhile
		}
		if p, ok := parseStat(pid, stat); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

// parseStat reads /proc/PID/stat. The name, in parentheses, may itself have any character.
func parseStat(pid int, stat []byte) (process, bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 2 || fields[0] == "Z" {
		return process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return process{PID: pid, Parent: parent, Name: string(stat[open+1 : end])}, err == nil
}

// containerProcesses are the first processes of this machine's containers: the children of its own shims. What they
// started is theirs to stop; that of a machine in a pod among it.
func containerProcesses(all []process) []process {
	shims := map[int]bool{}
	for _, p := range all {
		if p.Parent == 1 && strings.HasPrefix(p.Name, shimName) {
			shims[p.PID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p process) bool { return !shims[p.Parent] })
}

// stopContainers asks every container to end and kills those that have not after a while.
func (m *machine) stopContainers(within time.Duration) {
	began := time.Now()
	asked := map[int]bool{}
	for {
		all, err := processes("/proc")
		if err != nil {
			m.lines.Printf("init", "%v", err)
			return
		}
		left := containerProcesses(all)
		if len(left) == 0 {
			return
		}
		if time.Since(began) >= within {
			m.killAll(left, within)
			return
		}
		for _, p := range due(left, time.Since(began) >= within/2) {
			how := mannerOf(p, "/proc", podLogs)
			if !asked[p.PID] || how.Again {
				asked[p.PID] = true
				_ = syscall.Kill(p.PID, how.Signal)
			}
		}
		<-time.After(50 * time.Millisecond)
	}
}

// due are those whose turn it is to end. Stores are the last: an API server that is told to end finishes what it began,
// and waits in vain for an etcd that went before it. They too get their part of the time.
func due(left []process, late bool) []process {
	others := slices.DeleteFunc(slices.Clone(left), func(p process) bool { return p.Name == storeName })
	if len(others) == 0 || late {
		return left
	}
	return others
}

// mannerOf looks up how a process is asked. A customer's program may have a managed component's name, and is asked as all are.
func mannerOf(p process, proc, logs string) manner {
	how, known := manners[p.Name]
	if !known || !managed(p.PID, proc, logs) {
		return manner{Signal: syscall.SIGTERM}
	}
	return how
}

// managed says whether a container's pod is a managed component's: the process's cgroup has the pod's uid in its path, and
// the kubelet keeps a directory of logs that is named by namespace, name and uid.
func managed(pid int, proc, logs string) bool {
	raw, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return false
	}
	found := podUID.FindSubmatch(raw)
	if found == nil {
		return false
	}
	dirs, err := filepath.Glob(filepath.Join(logs, managedNamespace+"_*_"+string(found[1])))
	return err == nil && len(dirs) > 0
}

var podUID = regexp.MustCompile(`/pod([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})`)

func (m *machine) killAll(left []process, after time.Duration) {
	names := make([]string, 0, len(left))
	for _, p := range left {
		names = append(names, p.Name)
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
	m.lines.Printf("init", "killed %d containers that did not end within %s: %s", len(left), after, strings.Join(names, ", "))
}
