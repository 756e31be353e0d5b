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
	"strings"
	"syscall"
	"time"
)

const (
	// keptDir has what is known of the last script. A boot empties /run, and a machine that
	// is made anew has the image's files as they were.
	keptDir = "/run/berth-run-command"
	// nameVariable is in the environment of a named script and of all that it starts.
	nameVariable = "BERTH_RUN_COMMAND"
	// settleFirst and settleMost bound how long a script that runs is left alone before its
	// traces are looked at again: ever longer.
	settleFirst = 50 * time.Millisecond
	settleMost  = time.Second
	endedAgain  = 50 * time.Millisecond
)

// kept is what a machine keeps of a named script, so that the changes of one whose end
// nobody saw can still be told: because it ended this program, or because whoever asked is gone.
type kept struct {
	// Runner is the process that runs it, and Started tells it from a later one.
	Runner  int    `json:"runner"`
	Started string `json:"started"`
	// Begun is set before the script begins, and Before are the files as they were then;
	// none once it has ended.
	Begun  bool      `json:"begun,omitempty"`
	Before inventory `json:"before,omitempty"`
	// Ended is set when the script has ended and was compared, or was given up before it began.
	Ended *outcome `json:"ended,omitempty"`
}

func keptPath(dir, name string) string { return filepath.Join(dir, filepath.Base(name)+".json") }

// runs says whether the process is there that runs the script.
func (k kept) runs() bool {
	started, err := startOf(procStat(k.Runner))
	return err == nil && string(started) == k.Started
}

// claim keeps that this process is about to run a named script, before anything else of it
// is done, and forgets earlier ones. It is an error where the script was begun or given up before.
func claim(dir, name string) (kept, error) {
	if err := forgetOthers(dir, name); err != nil || name == "" {
		return kept{}, err
	}
	started, err := startOf(procStat(os.Getpid()))
	if err != nil {
		return kept{}, err
	}
	own := kept{Runner: os.Getpid(), Started: string(started)}
	err = keepFirst(dir, name, own)
	if errors.Is(err, fs.ErrExist) {
		return kept{}, fmt.Errorf("script %s was begun or given up before; it is not run again", name)
	}
	return own, err
}

// forgetOthers forgets the scripts of other names. One that runs still, as nobody could be
// told of its end, ends: its changes would be taken for those of the next.
func forgetOthers(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the last script: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if name != "" && path == keptPath(dir, name) {
			continue
		}
		if other, named := strings.CutSuffix(entry.Name(), ".json"); named {
			last := &record{path: path}
			if known, err := last.read(); err == nil && known.Ended == nil && known.Runner != os.Getpid() {
				if known.runs() {
					_ = syscall.Kill(known.Runner, syscall.SIGKILL)
				}
				endNamed(other)
			}
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("forget the last script: %w", err)
		}
	}
	return nil
}

// finish keeps what a named script changed in the place of the files before it.
func finish(dir, name string, result outcome) error {
	return keep(dir, name, kept{Ended: &outcome{Changed: result.Changed, ChangedCount: result.ChangedCount}})
}

// keep writes what is known of a named script, in the place of what was.
func keep(dir, name string, content kept) error {
	if name == "" {
		return nil
	}
	return put(dir, content, func(part string) error { return os.Rename(part, keptPath(dir, name)) })
}

// keepFirst writes what is known of a named script of which nothing was known: else it is
// fs.ErrExist.
func keepFirst(dir, name string, content kept) error {
	return put(dir, content, func(part string) error { return os.Link(part, keptPath(dir, name)) })
}

func put(dir string, content kept, place func(part string) error) error {
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("keep the files before a script: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep the files before a script: %w", err)
	}
	part, err := os.CreateTemp(dir, "part-")
	if err != nil {
		return fmt.Errorf("keep the files before a script: %w", err)
	}
	defer os.Remove(part.Name())
	_, err = part.Write(text)
	if err = errors.Join(err, part.Close()); err == nil {
		err = place(part.Name())
	}
	if err != nil {
		return fmt.Errorf("keep the files before a script: %w", err)
	}
	return nil
}

// record is what is kept of a script, read again only where it was written anew: it may
// have every file of the image.
type record struct {
	path  string
	stamp os.FileInfo
	known kept
}

func (r *record) read() (kept, error) {
	stamp, err := os.Stat(r.path)
	if err != nil {
		return kept{}, fmt.Errorf("read the files before a script: %w", err)
	}
	if r.stamp != nil && os.SameFile(r.stamp, stamp) && r.stamp.ModTime().Equal(stamp.ModTime()) && r.stamp.Size() == stamp.Size() {
		return r.known, nil
	}
	text, err := os.ReadFile(r.path)
	if err != nil {
		return kept{}, fmt.Errorf("read the files before a script: %w", err)
	}
	var known kept
	if err := json.Unmarshal(text, &known); err != nil {
		return kept{}, fmt.Errorf("read the files before a script: %w", err)
	}
	r.stamp, r.known = stamp, known
	return known, nil
}

// settle tells what a script changed whose end nobody saw. One that still runs is waited
// for. A machine that knows of none is asked twice, as the script may be about to begin; it
// does not begin any more once it was said that it changed nothing.
func settle(ctx context.Context, asked script, at places) (outcome, error) {
	if asked.Name == "" {
		return outcome{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, asked.Timeout)
	defer cancel()
	kept, unknown := &record{path: keptPath(at.kept, asked.Name)}, 0
	for look := 0; ; look++ {
		wait := settleWait(look)
		known, err := kept.read()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			wait = settleMost
			if unknown++; unknown > 1 {
				if err := giveUp(at.kept, asked.Name); !errors.Is(err, fs.ErrExist) {
					return outcome{}, err
				}
				wait = 0
			}
		case err != nil:
			return outcome{}, err
		case known.Ended != nil:
			return *known.Ended, nil
		case !known.runs():
			return conclude(kept, asked.Name, at)
		}
		select {
		case <-ctx.Done():
			if unknown != 1 {
				return outcome{}, errors.New("the script still runs")
			}
		case <-time.After(wait):
		}
	}
}

// ended is what is kept of a script that is asked for, has ended and was compared: to tell it,
// nobody needs the files.
func ended(dir string, asked script) (outcome, bool) {
	if !asked.Settle || asked.Name == "" {
		return outcome{}, false
	}
	known, err := (&record{path: keptPath(dir, asked.Name)}).read()
	if err != nil || known.Ended == nil {
		return outcome{}, false
	}
	return *known.Ended, true
}

// settleWait is how long to wait after the looks before.
func settleWait(looks int) time.Duration {
	return min(settleFirst<<min(looks, 10), settleMost)
}

// giveUp keeps a script from beginning of which nothing is known; fs.ErrExist where it has begun.
func giveUp(dir, name string) error { return keepFirst(dir, name, kept{Ended: &outcome{}}) }

// conclude compares the files for a script whose runner has ended, unless that did it last.
func conclude(kept *record, name string, at places) (outcome, error) {
	known, err := kept.read()
	if err != nil {
		return outcome{}, err
	}
	if known.Ended != nil {
		return *known.Ended, nil
	}
	endNamed(name)
	var result outcome
	if known.Begun {
		result.Changed, result.ChangedCount = summary(known.Before.changed(takeInventory(at.image)))
	}
	return result, finish(at.kept, name, result)
}

func procStat(pid int) string { return filepath.Join("/proc", strconv.Itoa(pid), "stat") }

// endNamed ends the processes that a named script left, until there are none. One that does
// not end in time, or that cleared its environment, is left.
func endNamed(name string) {
	mark := []byte("\x00" + nameVariable + "=" + name + "\x00")
	for end := time.Now().Add(leftoverWithin); time.Now().Before(end); time.Sleep(endedAgain) {
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
