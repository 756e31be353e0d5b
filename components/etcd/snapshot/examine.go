package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

var errInUse = errors.New("an etcd or another recovery works on the data directory")

// examination finds out whether an etcd comes up on a data directory with all that
// it has acknowledged.
type examination struct {
	DataDir string `json:"dataDir"`
	Name    string `json:"name"`
	// Alone makes it the only member of its cluster.
	Alone bool `json:"alone,omitempty"`
	// All counts all of its log as acknowledged then; else what it has not heard of goes.
	All bool `json:"all,omitempty"`
}

func (e examination) run(ctx context.Context, stage func(string)) (content, error) {
	stage("check the database")
	held, err := checkDatabase(datadir.ToBackendFileName(e.DataDir))
	if err != nil {
		return content{}, err
	}
	stage("check the log")
	if _, err := checkLog(datadir.ToWALDir(e.DataDir), held.applied); err != nil {
		return content{}, err
	}
	if e.Alone && e.All {
		stage("count the log as acknowledged")
		if err := commitLog(datadir.ToWALDir(e.DataDir)); err != nil {
			return content{}, err
		}
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

// reach is how far a database is: up to which entry of the log it has applied, and the last
// revision that it is seen to have. The one after, a deletion, may have left no trace.
type reach struct {
	applied  uint64
	revision int64
}

// checkDatabase checks the pages of the database, and returns how far it is. One that is missing
// is made again from the log, by etcd.
func checkDatabase(path string) (reach, error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return reach{}, nil
	case err == nil && info.Size() == 0:
		return reach{}, errors.New("it is empty")
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if errors.Is(err, bbolt.ErrTimeout) {
		return reach{}, errInUse
	}
	if err != nil {
		return reach{}, err
	}
	defer db.Close()
	var found reach
	err = db.View(func(tx *bbolt.Tx) error {
		faults := 0
		for range tx.Check() {
			faults++
		}
		if faults > 0 {
			return fmt.Errorf("%d faults in its pages", faults)
		}
		if meta := tx.Bucket(schema.Meta.Name()); meta != nil {
			if index := meta.Get(schema.MetaConsistentIndexKeyName); len(index) == 8 {
				found.applied = binary.BigEndian.Uint64(index)
			}
			// etcd goes on from where a compaction was to end, too, though nothing is left there.
			found.revision = max(revisionIn(meta.Get(schema.FinishedCompactKeyName)), revisionIn(meta.Get(schema.ScheduledCompactKeyName)))
		}
		if keys := tx.Bucket(schema.Key.Name()); keys != nil {
			last, _ := keys.Cursor().Last()
			found.revision = max(found.revision, revisionIn(last))
		}
		return nil
	})
	return found, err
}

// revisionIn is the revision that a key of the database begins with.
func revisionIn(key []byte) int64 {
	if len(key) < 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(key))
}

// ending is how far a log is: its last entry, and the last of which it says that it was
// acknowledged, which may be before the last one that was.
type ending struct {
	last  entry
	heard uint64
}

// checkLog finds out whether the log reaches as far as the database, and returns where it
// ends. etcd cuts a log off where it cannot read on, as after a write that was torn, and
// would then pass over new writes whose number the database has applied already.
func checkLog(dir string, applied uint64) (ending, error) {
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err != nil {
		return ending{}, err
	}
	if len(snapshots) == 0 {
		return ending{}, errors.New("it has no beginning")
	}
	last := snapshots[len(snapshots)-1]
	log, err := wal.OpenForRead(zap.NewNop(), dir, last)
	if err != nil {
		return ending{}, err
	}
	defer log.Close()
	_, state, entries, err := log.ReadAll()
	if err != nil {
		return ending{}, err
	}
	reached := entry{Term: last.GetTerm(), Index: last.GetIndex()}
	if len(entries) > 0 {
		end := entries[len(entries)-1]
		reached = entry{Term: end.GetTerm(), Index: end.GetIndex()}
	}
	if reached.Index < applied {
		return ending{}, fmt.Errorf("it ends at entry %d, and the database has applied %d", reached.Index, applied)
	}
	return ending{last: reached, heard: min(state.GetCommit(), reached.Index)}, nil
}

// commitLog counts all of a member's log as acknowledged. A member that is made the only one
// drops what it has not heard to be, and of the last entries a majority may have told clients
// so before it has: as a leader it would have them acknowledged too. It ends before its own removal,
// with which nobody would be left.
func commitLog(dir string) error {
	err := commitEntries(dir)
	if errors.Is(err, io.ErrUnexpectedEOF) && wal.Repair(zap.NewNop(), dir) {
		return commitEntries(dir) // its end was torn as it was written, and is cut off as by etcd
	}
	return err
}

func commitEntries(dir string) error {
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err != nil {
		return err
	}
	if len(snapshots) == 0 {
		return errors.New("it has no beginning")
	}
	log, err := wal.Open(zap.NewNop(), dir, snapshots[len(snapshots)-1])
	if err != nil {
		return err
	}
	defer log.Close()
	self, state, entries, err := log.ReadAll()
	if err != nil {
		return err
	}
	last, err := lastWithout(self, state.GetCommit(), entries)
	if err != nil {
		return err
	}
	if last <= state.GetCommit() {
		return nil
	}
	state.Commit = &last
	if err := log.Save(state, nil); err != nil {
		return err
	}
	return log.Sync()
}

// lastWithout is the last of a member's entries before one that removes it, and that it has not
// heard to be acknowledged; zero if there are none.
func lastWithout(self []byte, heard uint64, entries []*raftpb.Entry) (uint64, error) {
	var own etcdserverpb.Metadata
	if err := proto.Unmarshal(self, &own); err != nil {
		return 0, fmt.Errorf("read whose log it is: %w", err)
	}
	last := uint64(0)
	for _, e := range entries {
		if e.GetIndex() > heard && e.GetType() == raftpb.EntryConfChange {
			var change raftpb.ConfChange
			if err := proto.Unmarshal(e.GetData(), &change); err != nil {
				return 0, fmt.Errorf("read a change of members: %w", err)
			}
			if change.GetType() == raftpb.ConfChangeRemoveNode && change.GetNodeId() == own.GetNodeID() {
				break
			}
		}
		last = e.GetIndex()
	}
	return last, nil
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
