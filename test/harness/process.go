package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth.dev/berth/internal/host"
)

// Process is one of a Berth's, as the host sees it.
type Process struct {
	PID int
	// Command is its command line.
	Command string
}

// Processes are those of this Berth whose command line has a text in it; those of one
// pod alone where its UID is given, and those of what runs in it: a machine's are its
// pod's.
func (e *Env) Processes(podUID, command string) ([]Process, error) {
	paths, err := host.NewPaths(e.State)
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, dir := range dirs {
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup")) // a process that ends meanwhile is none
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		text := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		if !strings.Contains(string(groups), "/"+paths.Name()+"/") || !strings.Contains(string(groups), podUID) || !strings.Contains(text, command) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		found = append(found, Process{PID: pid, Command: text})
	}
	return found, nil
}

// Signal sends a signal to processes that Processes finds, of which there has to be one.
func (e *Env) Signal(podUID, command string, signal unix.Signal) error {
	found, err := e.Processes(podUID, command)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("no process %q runs", command)
	}
	for _, p := range found {
		if err := unix.Kill(p.PID, signal); err != nil {
			return fmt.Errorf("send %s to %d (%s): %w", signal, p.PID, p.Command, err)
		}
	}
	return nil
}

// Halt has processes stand still that Processes finds, and returns them when no thread of
// theirs runs any more: what they have written is of one moment.
func (e *Env) Halt(podUID, command string) []Process {
	e.T.Helper()
	if err := e.Signal(podUID, command, unix.SIGSTOP); err != nil {
		e.T.Fatal(err)
	}
	var found []Process
	e.Eventually(command+" stands still", time.Minute, func() (err error) {
		if found, err = e.Processes(podUID, command); err != nil {
			return err
		}
		for _, p := range found {
			threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID))
			if err != nil || len(threads) == 0 {
				return fmt.Errorf("process %d has %d threads: %w", p.PID, len(threads), err)
			}
			for _, thread := range threads {
				stat, _ := os.ReadFile(thread)
				if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
					return fmt.Errorf("thread %s is %.1s", thread, state)
				}
			}
		}
		return nil
	})
	return found
}
