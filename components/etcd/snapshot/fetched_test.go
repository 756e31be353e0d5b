package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// made is a scene whose data have made room for what was fetched, by a recovery that was killed
// before a step.
func (p *past) made(t *testing.T, before string, backups ...backup) (*scene, []string) {
	t.Helper()
	for step := 1; ; step++ {
		s := p.stage(t)
		if len(backups) > 0 {
			s.server.listed = []backup{full(p.lateAt - 3)}
			s.server.addDeltas(p, backups...)
		}
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
		if err := os.Truncate(filepath.Join(gone.work(), full(p.lateAt-3).Name), 5000); err != nil {
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
	t.Run("and stays until that is there, and whole", func(t *testing.T) { testRenewed(t, p) })
	t.Run("killed on the way there, it stays or is replaced", func(t *testing.T) { testRenewedIsKilled(t, p) })
	t.Run("where the volume has no room for both it goes first", func(t *testing.T) { testRenewedWithoutRoom(t, p) })
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

// outgrown is a scene whose data have made room for what was fetched, and what was recorded since,
// which alone the source has.
func (p *past) outgrown(t *testing.T) (s *scene, room []string, since backup) {
	t.Helper()
	s, room = p.made(t, "rebuild", delta(p.lateAt+1, p.lateAt+20))
	since = delta(p.lateAt+21, p.end.Revision)
	s.server.contents = map[string][]byte{}
	s.server.addDeltas(p, since)
	return s, room, since
}

func testRenewed(t *testing.T, p *past) {
	s, room, since := p.outgrown(t)
	s.server.faults[since.Name] = []int{http.StatusForbidden}
	fails := func(want string) {
		t.Helper()
		if _, err := s.try(room...); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "had to make room") {
			t.Errorf("it says %v, want %q", err, want)
		}
	}
	fails("403")
	s.server.faults[""] = []int{http.StatusForbidden}
	fails(fmt.Sprintf("what is at hand reaches %d, and backups were named to reach %d", p.lateAt+20, p.end.Revision))
	said, err := s.try(room...)
	if err != nil || !said.Restored || said.Deltas != 2 || len(said.Damaged) > 0 {
		t.Fatalf("report %+v (%v)", said, err)
	}
	s.holds(said, p.end)

	// What was recorded since is of no use, and neither is what is at hand for the source.
	s, room, since = p.outgrown(t)
	delete(s.server.contents, since.Name)
	s.server.add(full(p.end.Revision), nil)
	if said, err = s.try(room...); err != nil || !said.Restored || said.Recorded != p.end.Revision || len(said.Damaged) != 2 {
		t.Fatalf("report %+v (%v)", said, err)
	}
	s.holds(said, p.at[p.lateAt+20])
}

func testRenewedIsKilled(t *testing.T, p *past) {
	for step := 1; ; step++ {
		s, room, _ := p.outgrown(t)
		before := s.killed(step, room...)
		if before == "" {
			if step < 8 {
				t.Errorf("there are %d steps", step-1)
			}
			return
		}
		said, err := s.try(room...)
		if err != nil || !said.Restored {
			t.Fatalf("killed before %s: %+v (%v)", before, said, err)
		}
		s.holds(said, p.end)
	}
}

func testRenewedWithoutRoom(t *testing.T, p *past) {
	s, _, since := p.outgrown(t)
	s.server.contents[full(p.lateAt-3).Name] = p.late
	first := delta(p.lateAt+1, p.lateAt+20)
	s.server.contents[first.Name] = p.delta(t, first.First, first.Last)
	r := recovering{asking: s.server.asking, id: "r1"}.of(s)
	r.name, r.peer, r.token = "etcd-0", "http://127.0.0.1:2380", "c1"
	r.free = func(string) (int64, error) { return 1 << 40, nil }
	r.step = func(name string) {
		if name != "renew" {
			return
		}
		if err := os.Symlink("/dev/full", filepath.Join(r.work(), since.Name)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := r.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	var said recoveryReport
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatal(err)
	}
	s.holds(said, p.end)
	if asked := s.server.gotten(); !slices.Contains(asked, first.Name) {
		t.Errorf("it asked for %v alone", asked)
	}
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
