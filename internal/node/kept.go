package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// keptDir has what is known of the last script. A boot empties /run, and a machine that
	// is made anew has the image's files as they were.
	keptDir = "/run/berth-run-command"
	// nameVariable is in the environment of a named script and of all that it starts.
	nameVariable = "BERTH_RUN_COMMAND"
	settleAgain  = 50 * time.Millisecond
)

// kept is what a machine keeps of a named script, so that the changes of one whose end
// nobody saw can still be told: because it ended this program, or because whoever asked is gone.
type kept struct {
	// Before are the files before the script; none once it has ended.
	Before inventory `json:"before,omitempty"`
	// Runner is the process that runs it, and Started tells it from a later one.
	Runner  int    `json:"runner"`
	Started string `json:"started"`
	// Ended is set when the script has ended and was compared.
	Ended *outcome `json:"ended,omitempty"`
}

func keptPath(dir, name string) string { return filepath.Join(dir, filepath.Base(name)+".json") }

// begin keeps the files before a named script, and forgets those of an earlier one.
func begin(dir, name string, before inventory) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("forget the last script: %w", err)
	}
	if name == "" {
		return nil
	}
	started, err := startOf(procStat(os.Getpid()))
	if err != nil {
		return err
	}
	return keep(dir, name, kept{Before: before, Runner: os.Getpid(), Started: string(started)})
}

// finish keeps what a named script changed in the place of the files before it.
func finish(dir, name string, result outcome) error {
	if name == "" {
		return nil
	}
	return keep(dir, name, kept{Ended: &outcome{Changed: result.Changed, ChangedCount: result.ChangedCount}})
}

func keep(dir, name string, content kept) error {
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("keep the files before a script: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep the files before a script: %w", err)
	}
	part := keptPath(dir, name) + ".part"
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return fmt.Errorf("keep the files before a script: %w", err)
	}
	if err := os.Rename(part, keptPath(dir, name)); err != nil {
		return fmt.Errorf("keep the files before a script: %w", err)
	}
	return nil
}

// settle tells what a script changed whose end nobody saw. One that still runs is waited
// for. A machine that knows of none has nothing to tell.
func settle(ctx context.Context, asked script, at places) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, asked.Timeout)
	defer cancel()
	for {
		text, err := os.ReadFile(keptPath(at.kept, asked.Name))
		if errors.Is(err, fs.ErrNotExist) {
			return outcome{}, nil
		}
		if err != nil {
			return outcome{}, fmt.Errorf("read the files before a script: %w", err)
		}
		var known kept
		if err := json.Unmarshal(text, &known); err != nil {
			return outcome{}, fmt.Errorf("read the files before a script: %w", err)
		}
		if known.Ended != nil {
			return *known.Ended, nil
		}
		if started, err := startOf(procStat(known.Runner)); err != nil || string(started) != known.Started {
			endNamed(asked.Name)
			var result outcome
			result.Changed, result.ChangedCount = summary(known.Before.changed(takeInventory(at.image)))
			return result, finish(at.kept, asked.Name, result)
		}
		select {
		case <-ctx.Done():
			return outcome{}, errors.New("the script still runs")
		case <-time.After(settleAgain):
		}
	}
}

func procStat(pid int) string { return filepath.Join("/proc", strconv.Itoa(pid), "stat") }

// endNamed ends the processes that a named script left, until there are none. One that does
// not end in time, or that cleared its environment, is left.
func endNamed(name string) {
	mark := []byte("\x00" + nameVariable + "=" + name + "\x00")
	for end := time.Now().Add(leftoverWithin); time.Now().Before(end); time.Sleep(settleAgain) {
		left := 0
		entries, _ := os.ReadDir("/proc")
		for _, entry := range entries {
			pid, err := strconv.Atoi(entry.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			// One that has ended and was not waited for yet has no environment.
			environment, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
			if err != nil || !bytes.Contains(append([]byte{0}, environment...), mark) {
				continue
			}
			left++
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if left == 0 {
			return
		}
	}
}
