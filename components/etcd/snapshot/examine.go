package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

var errInUse = errors.New("an etcd runs on the data directory")

// examination finds out whether an etcd comes up on a data directory with all that
// it has acknowledged.
type examination struct {
	DataDir string `json:"dataDir"`
	Name    string `json:"name"`
	// Alone makes it the only member of its cluster.
	Alone bool `json:"alone,omitempty"`
}

func (e examination) run(ctx context.Context, stage func(string)) (content, error) {
	stage("check the database")
	stored, err := checkDatabase(datadir.ToBackendFileName(e.DataDir))
	if err != nil {
		return content{}, err
	}
	stage("check the log")
	if _, err := checkLog(datadir.ToWALDir(e.DataDir), stored); err != nil {
		return content{}, err
	}
	stage("start etcd")
	m, err := startMember(ctx, e.DataDir, e.Name, e.Alone)
	if err != nil {
		return content{}, err
	}
	stage("read all keys")
	found, err := readContent(ctx, m.client, 0, nil)
	if err != nil {
		return content{}, err
	}
	stage("stop etcd")
	m.close()
	return found, nil
}

// absent says why there is nothing that an etcd could come up on; empty if there may
// be. Without its log etcd would begin anew.
func absent(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "the data directory is missing", nil
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("look at the data: %w", err)
	case err != nil:
		return oneLine("the data directory cannot be read: " + err.Error()), nil
	case len(entries) == 0:
		return "the data directory is empty", nil
	case !wal.Exist(datadir.ToWALDir(dir)):
		return "the data directory has no write-ahead log", nil
	}
	return "", nil
}

// checkDatabase checks the pages of the database, and returns up to which entry of
// the log it has applied. One that is missing is made again from the log, by etcd.
func checkDatabase(path string) (uint64, error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err == nil && info.Size() == 0:
		return 0, errors.New("it is empty")
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if errors.Is(err, bbolt.ErrTimeout) {
		return 0, errInUse
	}
	if err != nil {
		return 0, err
	}
	defer db.Close()
	applied := uint64(0)
	return applied, db.View(func(tx *bbolt.Tx) error {
		faults := 0
		for range tx.Check() {
			faults++
		}
		if faults > 0 {
			return fmt.Errorf("%d faults in its pages", faults)
		}
		if meta := tx.Bucket(schema.Meta.Name()); meta != nil {
			if index := meta.Get(schema.MetaConsistentIndexKeyName); len(index) == 8 {
				applied = binary.BigEndian.Uint64(index)
			}
		}
		return nil
	})
}

// checkLog finds out whether the log reaches as far as the database, and returns its last
// entry. etcd cuts a log off where it cannot read on, as after a write that was torn, and
// would then pass over new writes whose number the database has applied already.
func checkLog(dir string, applied uint64) (entry, error) {
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err != nil {
		return entry{}, err
	}
	if len(snapshots) == 0 {
		return entry{}, errors.New("it has no beginning")
	}
	last := snapshots[len(snapshots)-1]
	log, err := wal.OpenForRead(zap.NewNop(), dir, last)
	if err != nil {
		return entry{}, err
	}
	defer log.Close()
	_, _, entries, err := log.ReadAll()
	if err != nil {
		return entry{}, err
	}
	reached := entry{Term: last.GetTerm(), Index: last.GetIndex()}
	if len(entries) > 0 {
		end := entries[len(entries)-1]
		reached = entry{Term: end.GetTerm(), Index: end.GetIndex()}
	}
	if reached.Index < applied {
		return entry{}, fmt.Errorf("it ends at entry %d, and the database has applied %d", reached.Index, applied)
	}
	return reached, nil
}

// emptyDir makes a directory that has nothing in it.
func emptyDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove what an interrupted run left: %w", err)
	}
	return os.Mkdir(dir, 0o700)
}

// probe finds out whether a directory can be written to. A disk that is full is no
// damage, and etcd would not come up on it.
func probe(dir string) error {
	path := filepath.Join(dir, "probe")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer file.Close()
	if _, err := file.Write(make([]byte, 1<<20)); err != nil {
		return err
	}
	return file.Sync()
}
