package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// filesLock keeps the machine's own patches and scripts apart: what a patch changes must
	// not be taken for a script's work (G2). Scripts share it, and a patch has it alone.
	filesLock = "/run/berth-files.lock"
	// scriptPatience is how long a script waits for a patch that is being installed.
	scriptPatience = 2 * time.Minute
	lockAgain      = 100 * time.Millisecond
)

// errHeld says that somebody else has had the files for too long.
var errHeld = errors.New("the machine's files are held")

// holdFiles takes the lock, alone or beside others, within a time. The process's end
// releases it; what the process starts does not have it.
func holdFiles(ctx context.Context, path string, alone bool, within time.Duration) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("hold the machine's files: %w", err)
	}
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	for {
		err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("hold the machine's files: %w", err)
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, errHeld
		case <-time.After(lockAgain):
		}
	}
}
