package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

// The variables that have an etcd wait for data that it has lost.
const (
	// awaitDir is its data directory.
	awaitDir = "BERTH_AWAIT_DATA_DIR"
	// awaitPod is the identity of the pod.
	awaitPod = "BERTH_AWAIT_POD"
	// clusterState is etcd's own: an etcd that has been initialised says "existing".
	clusterState = "ETCD_INITIAL_CLUSTER_STATE"
)

const (
	// exitNoData says that there are no data: EX_NOINPUT of sysexits(3).
	exitNoData = 66
	// lookEvery is how often it is looked whether they have come.
	lookEvery = 50 * time.Millisecond
)

// errNoData ends a pod's first process that finds no data: the kubelet shows that, and Berth
// sees it.
var errNoData = errors.New("there is no write-ahead log of etcd")

// awaiting is an etcd that has data and nobody but `etcd-snapshot recover` to give them back.
type awaiting struct {
	dir, pod string
	// sleep passes the time between two looks.
	sleep func(time.Duration)
}

// hold returns when there are data, and nobody but the holder of what it returns may work on
// them: a recovery that runs beside this pod takes the same lock, and ends before etcd starts.
// The first process of a pod that finds none returns errNoData, and so does the one after each
// that waited and was killed, as only the end of the last one is seen; the next waits. An etcd
// that has never run begins with none.
func (a awaiting) hold(initialised bool) (*fileutil.LockedFile, error) {
	for waits := false; ; {
		lock, err := fileutil.LockFile(a.dir+".lock", os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("take the data directory: %w", err)
		}
		if !initialised || wal.Exist(datadir.ToWALDir(a.dir)) {
			return lock, a.forget()
		}
		if err := lock.Close(); err != nil {
			return nil, fmt.Errorf("leave the data directory: %w", err)
		}
		if !waits {
			if err := a.tell(); err != nil {
				return nil, err
			}
			waits = true
		}
		a.sleep(lookEvery)
	}
}

// note is the file beside the data directory with the identity of the pod whose last process
// told that there are none.
func (a awaiting) note() string { return a.dir + ".awaited" }

// tell returns errNoData unless the process before this one did.
func (a awaiting) tell() error {
	if told, err := os.ReadFile(a.note()); err == nil && string(told) == a.pod {
		return a.forget()
	}
	if err := os.WriteFile(a.note(), []byte(a.pod), 0o600); err != nil {
		return fmt.Errorf("note that there are no data: %w", err)
	}
	return fmt.Errorf("%w in %s", errNoData, a.dir)
}

// forget removes the note: what is found next is told anew.
func (a awaiting) forget() error {
	if err := os.Remove(a.note()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the note that there were no data: %w", err)
	}
	return nil
}
