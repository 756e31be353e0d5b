package node

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// leftoverWithin is how long the processes that a script left may take to end.
	leftoverWithin = 10 * time.Second
	// reapAgain is how often, at most, it is looked for adopted ones that have ended.
	reapAgain = 250 * time.Millisecond
)

// adopt makes this process the parent of those below it whose own parent ends, also of
// those that left their process group and session.
func adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("take over what a script leaves: %w", err)
	}
	return nil
}

// reapAdopted waits for the children of this process that have ended, as they do, until it
// is stopped: those of a long script would fill the process table. The script itself, and
// those that were there before, are left to whoever started them.
func reapAdopted(script int, before map[int]bool) (stop func()) {
	ended, done, stopped := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		defer close(stopped)
		defer signal.Stop(ended)
		for {
			for child := range children() {
				if child != script && !before[child] {
					_, _ = syscall.Wait4(child, nil, syscall.WNOHANG, nil)
				}
			}
			select {
			case <-done:
				return
			case <-time.After(reapAgain):
			}
			select {
			case <-done:
				return
			case <-ended:
			}
		}
	}()
	return func() {
		close(done)
		<-stopped
	}
}

// endLeftovers ends the children of this process that are not among some, and those that
// it gets when these end, until there are none. What a script had others start, as the
// container runtime, is not among them. One that does not end in time is left.
func endLeftovers(before map[int]bool) {
	for end := time.Now().Add(leftoverWithin); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		left := 0
		for child := range children() {
			if before[child] {
				continue
			}
			left++
			_ = syscall.Kill(child, syscall.SIGKILL)
			_, _ = syscall.Wait4(child, nil, syscall.WNOHANG, nil)
		}
		if left == 0 {
			return
		}
	}
}

// children are the processes whose parent this one is, also those that have ended and
// were not waited for.
func children() map[int]bool {
	found := map[int]bool{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return found
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue
		}
		// The name is in parentheses and may hold any character; the state and the parent follow.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) > 1 && string(fields[1]) == strconv.Itoa(os.Getpid()) {
			found[pid] = true
		}
	}
	return found
}
