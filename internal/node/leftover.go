package node

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// leftoverWithin is how long the processes that a script left may take to end.
const leftoverWithin = 10 * time.Second

// adopt makes this process the parent of those below it whose own parent ends, also of
// those that left their process group and session.
func adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("take over what a script leaves: %w", err)
	}
	return nil
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
