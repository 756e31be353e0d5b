package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
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
	// tunnelName is konnectivity's agent, which takes the first SIGTERM for a request to drain and ends at the second.
	tunnelName = "proxy-agent"
	// nameServer would answer for some seconds more, for clients that learn meanwhile where else to ask. Those of a node
	// that was drained have learnt, and where all nodes go there are none.
	nameServer = "coredns"
)

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

// stopContainers asks every container to end and kills those that have not after a while. Stores go last: an API
// server that is told to end finishes what it began, and waits in vain for an etcd that went before it.
func (m *machine) stopContainers(within time.Duration) {
	m.stopWave(within, func(p process) bool { return p.Name != storeName })
	m.stopWave(within, func(process) bool { return true })
}

// stopWave ends those of the containers that are its part.
func (m *machine) stopWave(within time.Duration, part func(process) bool) {
	deadline := time.Now().Add(within)
	asked := map[int]bool{}
	for {
		all, err := processes("/proc")
		if err != nil {
			m.lines.Printf("init", "%v", err)
			return
		}
		left := slices.DeleteFunc(containerProcesses(all), func(p process) bool { return !part(p) })
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			m.killAll(left, within)
			return
		}
		for _, p := range left {
			if !asked[p.PID] || p.Name == tunnelName {
				asked[p.PID] = true
				_ = syscall.Kill(p.PID, ending(p.Name))
			}
		}
		<-time.After(50 * time.Millisecond)
	}
}

func (m *machine) killAll(left []process, after time.Duration) {
	names := make([]string, 0, len(left))
	for _, p := range left {
		names = append(names, p.Name)
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
	m.lines.Printf("init", "killed %d containers that did not end within %s: %s", len(left), after, strings.Join(names, ", "))
}

// ending is what asks a container to end.
func ending(name string) syscall.Signal {
	if name == nameServer {
		return syscall.SIGKILL
	}
	return syscall.SIGTERM
}
