package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// bootedMark says that this boot has written all that it writes to the image's
	// directories. It holds the start of the init that wrote it: /run may outlive a boot.
	bootedMark = "/run/berth-booted"
	// initStat tells when the machine's init was started.
	initStat = "/proc/1/stat"
	// bootWithin is how long a script waits for the end of a boot, which takes seconds.
	bootWithin = time.Minute
	bootAgain  = 100 * time.Millisecond
)

// markBooted writes the mark for the process whose stat it is given.
func markBooted(mark, stat string) error {
	started, err := startOf(stat)
	if err != nil {
		return err
	}
	if err := os.WriteFile(mark, started, 0o644); err != nil {
		return fmt.Errorf("mark the end of the boot: %w", err)
	}
	return nil
}

// awaitBoot waits for the mark of that process: what a boot writes later would be taken
// for a script's work.
func awaitBoot(ctx context.Context, mark, stat string, within time.Duration) error {
	started, err := startOf(stat)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		if content, err := os.ReadFile(mark); err == nil && bytes.Equal(content, started) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the machine has not booted yet; the script was not run")
		case <-time.After(bootAgain):
		}
	}
}

// startOf is a process's start in clock ticks, the 22nd field of its stat. The second one
// is its name, in parentheses, and may hold anything.
func startOf(stat string) ([]byte, error) {
	content, err := os.ReadFile(stat)
	if err != nil {
		return nil, fmt.Errorf("read when the machine's init was started: %w", err)
	}
	const afterName = 19
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	if len(fields) <= afterName {
		return nil, fmt.Errorf("read when the machine's init was started: %s has %d fields after its name", stat, len(fields))
	}
	return fields[afterName], nil
}
