package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// another are snapshots of another etcd, by their revisions: 2 to 9, with one key less than that.
func another(t *testing.T) map[int64][]byte {
	t.Helper()
	_, client, _ := startEtcd(t, filepath.Join(t.TempDir(), "another"))
	w, snapshots := writer{t, client}, map[int64][]byte{}
	for revision := int64(2); revision <= 9; revision++ {
		w.do(clientv3.OpPut(fmt.Sprint("k", revision), "v"))
		snapshots[revision] = w.snapshot()
	}
	return snapshots
}

// spoilt is a snapshot that is whole as a file, and on which no etcd comes up.
func spoilt(t *testing.T, snapshot []byte) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "spoilt")
	if err := os.WriteFile(file, snapshot[:len(snapshot)-sha256.Size], 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(schema.Lease.Name()).Put([]byte("no lease"), []byte{0xff})
	})
	if err != nil || db.Close() != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return append(text, sum[:]...)
}

// A full that turns out damaged as it is restored is passed over, and what is left counts against
// what the log has, and not what the database has.
func TestLogCountsWhereAFullIsPassedOver(t *testing.T) {
	origin, snapshots := firstOfTwo(t), another(t)
	for why, c := range map[string]struct {
		heard    bool
		left     int64
		restored bool
		keys     int64
	}{
		"the log has more than what is left":               {true, 3, false, 3},
		"the log has as much as what is left":              {true, 4, false, 3},
		"what is left has more than the log":               {true, 5, true, 4},
		"what is left may be other than what the log has":  {false, 3, true, 2},
		"what is left has no more than the database":       {true, 2, false, 3},
		"nothing is left, and all that the log has counts": {false, 0, false, 3},
	} {
		t.Run(why, func(t *testing.T) {
			s := aloneScene(t, origin)
			appendWrite(t, s.dir, "c", c.heard) // revision 3
			appendWrite(t, s.dir, "d", c.heard) // revision 4
			if c.left > 0 {
				s.server.add(full(c.left), snapshots[c.left])
			}
			s.server.add(full(9), spoilt(t, snapshots[9]))
			said, err := s.try()
			if err != nil || said.Restored != c.restored || said.Keys != c.keys || said.Recorded != 9 || !slices.Equal(said.Damaged, []string{full(9).Name}) {
				t.Fatalf("%+v (%v)", said, err)
			}
			if !c.restored && (said.Revision != 4 || said.Kept == "") {
				t.Errorf("%+v", said)
			}
			s.holds(said, content{Revision: said.Revision, Keys: c.keys, Hash: s.hash()})
		})
	}
}

// A member that has all that was acknowledged, of whose backups none is named to reach beyond its
// log, does without those that cannot be fetched. One that may lack something waits.
func TestBackupsThatCannotBeFetched(t *testing.T) {
	origin := firstOfTwo(t)
	for _, state := range []int{http.StatusForbidden, http.StatusServiceUnavailable} {
		for _, reach := range []int64{3, 4} {
			s := aloneScene(t, origin, full(reach))
			s.more = append(s.more, "--complete")
			appendWrite(t, s.dir, "c", false) // revision 3
			if reach > 3 {
				state = http.StatusForbidden // which is not waited for
			}
			s.server.faults[full(reach).Name] = []int{state}
			said, err := s.try()
			if reach > 3 {
				if err == nil || !strings.Contains(err.Error(), unchanged) {
					t.Errorf("%+v (%v)", said, err)
				}
				// What is known to have been recorded is not forgotten when the source does not answer.
				s.server.faults[""] = []int{http.StatusForbidden}
				if said, err := s.try(); err == nil || !strings.Contains(err.Error(), unchanged) || voters(t, s.dir) != 2 {
					t.Errorf("the next attempt, without a source: %+v (%v)", said, err)
				}
				continue
			}
			if err != nil || said.Restored || said.Revision != 3 || !strings.Contains(said.Kept, "could not be fetched") || !strings.HasSuffix(said.Kept, hasAll) {
				t.Fatalf("%+v (%v)", said, err)
			}
			s.holds(said, content{Revision: 3, Keys: 2, Hash: s.hash()})
		}
	}
}

// However many backups are damaged, and whatever is said of them: the kubelet keeps 4096 bytes of
// a report.
func TestReportStaysShort(t *testing.T) {
	origin := firstOfTwo(t)
	for _, more := range [][]string{{"--alone"}, {"--alone", "--complete"}, nil} {
		s := aloneScene(t, origin)
		s.more = more
		if len(more) == 0 { // a lone etcd, which came back with less than was recorded
			if found, err := runChild(t.Context(), "examine", examination{DataDir: s.dir, Name: "etcd-0", Alone: true, All: true}); err != nil || found.damage != "" {
				t.Fatal(found.damage, err)
			}
		}
		for i := range int64(60) {
			s.server.listed = append(s.server.listed, full(1234500+i))
		}
		said, err := s.try()
		if err != nil || said.Restored || !strings.Contains(said.Kept, "no full backup that is of use") || len(said.Damaged) != reportedNames {
			t.Fatalf("%v: %+v (%v)", more, said, err)
		}
		if n := size(t, s.dir+".report"); n >= 4096 {
			t.Errorf("%v: the report has %d bytes", more, n)
		}
	}
}

// killed runs a recovery that is killed before one of its steps, and says before which; empty if
// it has no more of them.
func (s *scene) killed(step int, before ...string) string {
	s.t.Helper()
	_, err := s.try(append(before, "die", fmt.Sprint(step))...)
	if err == nil {
		return ""
	}
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != died {
		s.t.Fatal(err)
	}
	_, said, _ := strings.Cut(err.Error(), ": ")
	return strings.TrimSpace(said)
}

// What was fetched makes room before the member writes, where it is not needed.
func TestFetchedGoesBeforeTheOnlyMemberWrites(t *testing.T) {
	origin, snapshots := firstOfTwo(t), another(t)
	for step := 1; ; step++ {
		s := aloneScene(t, origin)
		s.server.add(full(2), snapshots[2])
		s.server.add(delta(3, 5), nil) // damaged
		before := s.killed(step)
		if before == "" {
			t.Fatal("it was not made the only one")
		}
		if before != "alone" {
			continue
		}
		if left := listed(t, filepath.Join(filepath.Dir(s.dir), "recovery")); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
		return
	}
}

// A recovery that has to ask the member itself, killed before any of its steps, ends as if it had
// not been, and from when on the member may be the only one that is said.
func TestComparedIsKilled(t *testing.T) {
	origin, snapshots := firstOfTwo(t), another(t)
	for step := 1; ; step++ {
		s := aloneScene(t, origin)
		appendWrite(t, s.dir, "c", true)
		s.server.add(full(3), snapshots[3])
		before := s.killed(step)
		if before == "" {
			if step < 7 {
				t.Errorf("there are %d steps", step-1)
			}
			return
		}
		if _, err := os.Stat(s.dir + ".recovered"); err == nil {
			s.server.away()
		} else if _, err := os.Stat(s.dir + ".alone"); err == nil {
			s.server.faults[""] = []int{http.StatusForbidden}
			if _, err := s.try(); err == nil || !strings.Contains(err.Error(), opened) {
				t.Errorf("killed before %s: %v", before, err)
			}
		} else if n := voters(t, s.dir); n != 2 {
			t.Errorf("killed before %s: it is one of %d, and nothing says why", before, n)
		}
		said, err := s.try()
		if err != nil || said.Restored || said.Revision != 3 || voters(t, s.dir) != 1 {
			t.Fatalf("killed before %s: %+v (%v)", before, said, err)
		}
		s.holds(said, content{Revision: 3, Keys: 2, Hash: s.hash()})
	}
}

// Sound data that make room for backups which have more: a recovery that is killed before any of
// its steps goes on with the data or with what was fetched, and never with less.
func TestSoundDataMakeRoomAndItIsKilled(t *testing.T) {
	origin, snapshots := firstOfTwo(t), another(t)
	for step := 1; ; step++ {
		s := aloneScene(t, origin)
		s.server.add(full(9), snapshots[9])
		room := s.short(snapshots[9])
		before := s.killed(step, room...)
		if before == "" {
			if step < 12 {
				t.Errorf("there are %d steps", step-1)
			}
			return
		}
		if missing, err := absent(s.dir); err != nil || missing != "" {
			s.server.away()
		}
		said, err := s.try(room...)
		if err != nil || !said.Restored || said.Revision != 9 || voters(t, s.dir) != 1 {
			t.Fatalf("killed before %s: %+v (%v)", before, said, err)
		}
		s.holds(said, content{Revision: 9, Keys: 8, Hash: s.hash()})
	}
}
