package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
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
func containerProcesses(all []process) []int {
	shims := map[int]bool{}
	for _, p := range all {
		if p.Parent == 1 && strings.HasPrefix(p.Name, shimName) {
			shims[p.PID] = true
		}
	}
	var first []int
	for _, p := range all {
		if shims[p.Parent] {
			first = append(first, p.PID)
		}
	}
	return first
}

// stopContainers asks every container to end and kills those that have not after a while.
func (m *machine) stopContainers(within time.Duration) {
	deadline := time.Now().Add(within)
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
		if time.Now().After(deadline) {
			m.lines.Printf("init", "kill %d containers that did not end within %s", len(left), within)
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			return
		}
		for _, pid := range left {
			if !asked[pid] {
				asked[pid] = true
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
		<-time.After(50 * time.Millisecond)
	}
}
