package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// made is a scene whose data have made room for what was fetched, by a recovery that was killed
// before a step.
func (p *past) made(t *testing.T, before string) (*scene, []string) {
	t.Helper()
	for step := 1; ; step++ {
		s := p.stage(t)
		if err := os.Truncate(s.database(), used(t, s.database())/2); err != nil {
			t.Fatal(err)
		}
		room := s.short(p.late)
		switch s.killed(step, room...) {
		case before:
			return s, room
		case "":
			t.Fatalf("it takes no step %q", before)
		}
	}
}

func (r recovering) of(s *scene) recovering {
	r.dataDir = s.dir
	return r
}

func testFetched(t *testing.T, p *past) {
	t.Run("data that have not been removed come back where what was fetched is damaged", func(t *testing.T) {
		s, room := p.made(t, "remove")
		gone := recovering{}.of(s)
		before := size(t, datadir.ToBackendFileName(gone.gone()))
		if err := os.Truncate(filepath.Join(gone.work(), "full.db"), 5000); err != nil {
			t.Fatal(err)
		}
		s.server.away()
		// It fails, since the source says nothing.
		if _, err := s.try(room...); err == nil || strings.Contains(err.Error(), "had to make room") {
			t.Errorf("it says %v", err)
		}
		if got := size(t, s.database()); got != before {
			t.Errorf("the database has %d bytes of %d", got, before)
		}
	})
	t.Run("what was fetched before an etcd ran goes for what was recorded since", func(t *testing.T) {
		s, room := p.made(t, "rebuild")
		end := p.end.Revision
		s.server.add(delta(end+1, end+1), nil) // which is damaged, and named
		said, err := s.try(room...)
		if err != nil || !said.Restored || said.Recorded != end+1 || len(said.Damaged) != 1 {
			t.Fatalf("report %+v (%v)", said, err)
		}
		s.holds(said, p.end)
	})
	t.Run("a delta that is not whole any more takes no data with it", func(t *testing.T) {
		s := p.stage(t)
		if err := os.Truncate(s.database(), used(t, s.database())/2); err != nil {
			t.Fatal(err)
		}
		before := size(t, s.database())
		r := recovering{asking: s.server.asking, id: "r1"}.of(s)
		r.name, r.peer, r.token = "etcd-0", "http://127.0.0.1:2380", "c1"
		data := usedBytes(s.dir)
		r.free = func(string) (int64, error) {
			return int64(len(p.late)+len(p.late)/8+logRoom-1) + data - usedBytes(s.dir), nil
		}
		r.step = func(name string) {
			if name != "verify" {
				return
			}
			deltas, err := filepath.Glob(filepath.Join(r.work(), "delta-*"))
			if err != nil || len(deltas) == 0 {
				t.Fatal(deltas, err)
			}
			if err := os.Truncate(deltas[0], size(t, deltas[0])-3); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.run(t.Context(), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "is not any more") {
			t.Errorf("it says %v", err)
		}
		if got := size(t, s.database()); got != before {
			t.Errorf("the database has %d bytes of %d", got, before)
		}
	})
}

// A database whose last revisions a compaction was removing is as far as etcd says it is.
func TestScheduledCompactionCounts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	_, _, stop := startEtcd(t, dir)
	stop()
	db, err := bbolt.Open(datadir.ToBackendFileName(dir), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(schema.Meta.Name()).Put(schema.ScheduledCompactKeyName, append(binary.BigEndian.AppendUint64(nil, 7), "_\x00\x00\x00\x00\x00\x00\x00\x00"...))
	})
	if err != nil || db.Close() != nil {
		t.Fatal(err)
	}
	if found, err := checkDatabase(datadir.ToBackendFileName(dir)); err != nil || found.revision != 7 {
		t.Errorf("%+v (%v)", found, err)
	}
	if found, err := runChild(t.Context(), "examine", examination{DataDir: dir, Name: "etcd-0"}); err != nil || found.Revision != 7 {
		t.Errorf("%+v %s (%v)", found.content, found.damage, err)
	}
}
