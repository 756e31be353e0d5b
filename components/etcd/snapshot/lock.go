package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

const (
	// lockLimit is how long the data directory is asked for. An etcd that waits for data has
	// it for an instant at each of its looks, one that runs for as long as it does.
	lockLimit = 5 * time.Second
	lockAgain = 10 * time.Millisecond
)

// lock takes the data directory, which whoever works on it holds: an etcd (components/etcd/server)
// or a recovery. It is let go of when the process ends, at the latest.
func (r recovering) lock(ctx context.Context) (*fileutil.LockedFile, error) {
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	for {
		held, err := fileutil.TryLockFile(r.dataDir+".lock", os.O_WRONLY|os.O_CREATE, 0o600)
		if err == nil {
			return held, nil
		}
		if !errors.Is(err, fileutil.ErrLocked) {
			return nil, fmt.Errorf("take the data directory: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, errInUse
		case <-time.After(lockAgain):
		}
	}
}
