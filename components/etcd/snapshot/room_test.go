package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// short is a volume that has room for a snapshot's data only when the old ones have gone.
func (s *scene) short(snapshot []byte) []string {
	size := int64(len(snapshot))
	return []string{"room", fmt.Sprint(size + size/8 + logRoom - 1 + usedBytes(s.dir))}
}

// away has the source refuse everything from now on.
func (s *server) away() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contents = map[string][]byte{}
	s.faults[""] = slices.Repeat([]int{http.StatusForbidden}, 100)
}

func testNoRoom(t *testing.T, p *past) {
	t.Run("damaged data make room", func(t *testing.T) {
		s := p.stage(t)
		s.t = t
		if err := os.Truncate(s.database(), used(t, s.database())/2); err != nil {
			t.Fatal(err)
		}
		said, err := s.try(s.short(p.late)...)
		if err != nil || !said.Restored {
			t.Fatalf("report %+v (%v)", said, err)
		}
		s.holds(said, p.end)
		if _, err := os.Stat(s.dir + ".lost"); err == nil {
			t.Error("there was room for the data")
		}
	})
	t.Run("data that are whole make none for backups that have less", func(t *testing.T) {
		s := p.stage(t)
		s.t = t
		beyond, first := delta(p.end.Revision+1, p.end.Revision+5), delta(p.lateAt+1, p.end.Revision)
		s.server.listed = []backup{full(p.lateAt - 3)}
		s.server.addDeltas(p, first)
		s.server.add(beyond, nil)
		s.server.faults[first.Name] = []int{http.StatusUnprocessableEntity}
		said, err := s.try(s.short(p.late)...)
		if err != nil || said.Restored {
			t.Fatalf("report %+v (%v)", said, err)
		}
		s.holds(said, p.end)
	})
	t.Run("what was fetched stays when no etcd comes up on it", func(t *testing.T) {
		s := p.stage(t)
		s.t = t
		if err := os.Truncate(s.database(), used(t, s.database())/2); err != nil {
			t.Fatal(err)
		}
		s.more = []string{"--peer", "no address"}
		_, err := s.try(s.short(p.early)...)
		if err == nil || !strings.Contains(err.Error(), "the data had to make room for the backups, which stay in "+s.dir[:len(s.dir)-4]) {
			t.Fatalf("it says %v", err)
		}
		s.more = nil
		s.server.away()
		// As by an etcd that was started, and ended.
		if err := os.MkdirAll(filepath.Join(s.dir, "member", "snap"), 0o700); err != nil {
			t.Fatal(err)
		}
		s.id = "another"
		said := s.run()
		if !said.Restored || !strings.HasPrefix(said.Reason, "check the database") || said.Snapshot != full(p.earlyAt).Name {
			t.Errorf("report %+v", said)
		}
		s.holds(said, p.end)
	})
}

// Once the data have gone for what was fetched, a recovery that is killed ends without the
// source; before, nothing of them has.
func testDeathsWithoutRoom(t *testing.T, p *past) {
	for step := 1; ; step++ {
		s := p.stage(t)
		if err := os.Truncate(s.database(), used(s.t, s.database())/2); err != nil {
			t.Fatal(err)
		}
		before, room := size(t, s.database()), s.short(p.late)
		_, err := s.try(slices.Concat(room, []string{"die", fmt.Sprint(step)})...)
		exit := (*exec.ExitError)(nil)
		if err == nil {
			if step < 12 {
				t.Errorf("there are %d steps", step-1)
			}
			return
		}
		if !errors.As(err, &exit) || exit.ExitCode() != died {
			t.Fatal(err)
		}
		if info, err := os.Stat(s.database()); err != nil || info.Size() != before {
			s.server.away() // the data have gone, or have been replaced
		}
		said, err := s.try(room...)
		if err != nil || !said.Restored || !strings.HasPrefix(said.Reason, "check the database") {
			t.Fatalf("killed at step %d: %+v (%v)", step, said, err)
		}
		s.holds(said, p.end)
	}
}
