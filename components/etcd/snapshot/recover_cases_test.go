package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
)

func testWhole(t *testing.T, p *past) {
	s := p.stage(t)
	// A store that is away must not keep an etcd that is whole from starting.
	s.server.faults[""] = []int{http.StatusServiceUnavailable}
	for i := range 2 {
		said := s.run()
		if said.Restored || said.Snapshot != "" || said.Reason != "" || (said.Kept != "") != (i == 0) {
			t.Errorf("report %+v", said)
		}
		s.holds(said, p.end)
	}
	if asked := s.server.gotten(); slices.ContainsFunc(asked, func(name string) bool { return name != "" }) {
		t.Errorf("it asked for %v", asked)
	}
	if got := listed(t, filepath.Dir(s.dir)); len(got) != 3 {
		t.Errorf("beside the data there is now %v", got)
	}
}

func testWentBack(t *testing.T, p *past) {
	t.Run("an empty one", func(t *testing.T) {
		s := p.stage(t)
		s.empty().t = t
		_, _, stop := startEtcd(t, s.dir)
		stop()
		said := s.run()
		if !said.Restored || said.Reason != "etcd is empty" {
			t.Errorf("report %+v", said)
		}
		s.holds(said, p.end)
	})
	t.Run("one that is whole, and from before the last backup", func(t *testing.T) {
		s := p.stage(t)
		s.t = t
		s.server.addDeltas(p, delta(p.end.Revision-5, p.end.Revision))
		// As from a disk that was put back.
		file := filepath.Join(t.TempDir(), "early.db")
		if err := os.WriteFile(file, p.early, 0o600); err != nil {
			t.Fatal(err)
		}
		err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
			SnapshotPath: file, Name: "etcd-0", OutputDataDir: s.empty().dir,
			PeerURLs: []string{"http://127.0.0.1:2380"}, InitialCluster: "etcd-0=http://127.0.0.1:2380", InitialClusterToken: "c1",
		})
		if err != nil {
			t.Fatal(err)
		}
		said := s.run()
		if want := fmt.Sprintf("etcd is at revision %d, and backups reach %d", p.earlyAt, p.end.Revision); said.Reason != want {
			t.Errorf("the reason is %q, want %q", said.Reason, want)
		}
		s.holds(said, p.end)
	})
	t.Run("one that has more than what is left of the backups", func(t *testing.T) {
		s := p.stage(t)
		s.t = t
		// The last of the deltas are named to hold more, and the first is damaged.
		beyond, first := delta(p.end.Revision+1, p.end.Revision+5), delta(p.lateAt+1, p.end.Revision)
		s.server.listed = []backup{full(p.lateAt - 3)}
		s.server.addDeltas(p, first)
		s.server.add(beyond, nil)
		s.server.faults[first.Name] = []int{http.StatusUnprocessableEntity}
		said := s.run()
		if said.Restored || !slices.Contains(said.Damaged, first.Name) || said.Recorded != beyond.Last || !strings.Contains(said.Kept, "are damaged, and the rest has less") {
			t.Errorf("report %+v", said)
		}
		s.holds(said, p.end)
	})
	t.Run("one that is whole, and no backup is", func(t *testing.T) {
		s := p.stage(t)
		s.t = t
		s.server.add(delta(p.end.Revision+1, p.end.Revision+5), nil)
		s.server.contents = map[string][]byte{}
		said := s.run()
		if said.Restored || said.Recorded != p.end.Revision+5 || !strings.Contains(said.Kept, "no full backup that is of use") {
			t.Errorf("report %+v", said)
		}
		s.holds(said, p.end)
	})
	t.Run("an empty one that nothing was ever backed up of", func(t *testing.T) {
		s := p.stage(t)
		s.empty().t = t
		s.server.listed = nil
		_, _, stop := startEtcd(t, s.dir)
		stop()
		if said := s.run(); said.Restored {
			t.Errorf("report %+v", said)
		}
	})
}

func testBadBackups(t *testing.T, p *past) {
	flipped := func(text []byte) []byte {
		text = slices.Clone(text)
		text[len(text)/2] ^= 1
		return text
	}
	newest, oldest := full(p.lateAt-3), full(p.earlyAt)
	deltas := p.deltas(p.earlyAt+1, 4)
	second, third, last := deltas[1], deltas[2], deltas[3]
	middle := delta(third.First-2, third.Last)
	end := p.end.Revision
	for _, c := range []struct {
		why     string
		change  func(s *server)
		damaged []string
		full    backup
		want    int64
		deltas  int
	}{
		{"deltas go on over a full that is gone", func(s *server) { delete(s.contents, newest.Name) }, []string{newest.Name}, oldest, end, 4},
		{"and over one that the server does not open", func(s *server) { s.faults[newest.Name] = []int{422} }, []string{newest.Name}, oldest, end, 4},
		{"and over one whose hash is wrong", func(s *server) { s.contents[newest.Name] = flipped(p.late) }, []string{newest.Name}, oldest, end, 4},
		{"and over one that is cut off", func(s *server) { s.contents[newest.Name] = p.late[:len(p.late)/2] }, []string{newest.Name}, oldest, end, 4},
		{"an overlap replays nothing twice", func(s *server) { s.addDeltas(p, middle, delta(last.First-4, end)) }, nil, newest, end, -1},
		{"a gap ends the chain, however much follows", func(s *server) {
			s.listed = without(s.listed, []string{deltas[0].Name, second.Name, third.Name, last.Name})
			s.addDeltas(p, delta(p.lateAt+1, p.lateAt+20), delta(p.lateAt+22, end))
		}, nil, newest, p.lateAt + 20, 1},
		{"a damaged delta ends it likewise", func(s *server) {
			s.listed = without(s.listed, []string{third.Name, last.Name, second.Name})
			s.addDeltas(p, delta(p.lateAt+1, p.lateAt+20), delta(p.lateAt+21, end))
			s.faults[delta(p.lateAt+21, end).Name] = []int{422}
		}, []string{delta(p.lateAt+21, end).Name}, newest, p.lateAt + 20, 1},
		{"another delta covers one that is damaged", func(s *server) {
			s.addDeltas(p, middle)
			s.contents[third.Name] = flipped(s.contents[third.Name])[:len(s.contents[third.Name])-9]
		}, nil, newest, end, -1},
		{"a delta without its last event does not count as whole", func(s *server) {
			s.listed = without(s.listed, []string{second.Name, third.Name, last.Name})
			s.addDeltas(p, delta(p.lateAt+1, p.lateAt+20), delta(p.lateAt+21, end))
			s.contents[delta(p.lateAt+21, end).Name] = p.delta(t, p.lateAt+21, end-1)
		}, []string{delta(p.lateAt+21, end).Name}, newest, p.lateAt + 20, 1},
		{"no delta at all gives the snapshot", func(s *server) {
			s.listed = []backup{oldest, newest}
		}, nil, newest, p.lateAt, 0},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := p.stage(t)
			s.empty().t = t
			c.change(s.server)
			said := s.run()
			if said.Snapshot != c.full.Name || !said.SnapshotTime.Equal(c.full.Time) || c.deltas >= 0 && said.Deltas != c.deltas {
				t.Errorf("report %+v", said)
			}
			if c.damaged != nil && !slices.Equal(said.Damaged, c.damaged) {
				t.Errorf("%v is said to be damaged, want %v", said.Damaged, c.damaged)
			}
			if named := s.server.listed; said.Recorded != named[len(named)-1].Last {
				t.Errorf("the report says %d was recorded, and backups are named up to %d", said.Recorded, named[len(named)-1].Last)
			}
			s.holds(said, p.at[c.want])
		})
	}
}

// A recovery that is killed before any of its steps is repeated and ends as if it had
// not been, and the data that were damaged are kept.
func testDeaths(t *testing.T, p *past) {
	for step := 1; ; step++ {
		s := p.stage(t)
		if err := os.Truncate(s.database(), used(s.t, s.database())/2); err != nil {
			t.Fatal(err)
		}
		_, err := s.try("die", fmt.Sprint(step))
		exit := (*exec.ExitError)(nil)
		if err == nil {
			if step < 8 {
				t.Errorf("there are %d steps", step-1)
			}
			return
		}
		if !errors.As(err, &exit) || exit.ExitCode() != died {
			t.Fatal(err)
		}
		first := s.run()
		s.holds(first, p.end)
		if !first.Restored || first.Reason == "" || strings.Contains(first.Reason, "missing") {
			t.Errorf("killed at step %d: report %+v", step, first)
		}
		if kept := size(t, filepath.Join(s.dir+".lost", "member/snap/db")); kept == 0 {
			t.Errorf("killed at step %d: no evidence is left", step)
		}
		s.server.listed = nil
		if again := s.run(); fmt.Sprint(again.Reason, again.Revision, again.Keys, again.Duration) != fmt.Sprint(first.Reason, first.Revision, first.Keys, first.Duration) {
			t.Errorf("killed at step %d: a repetition says %+v, it was %+v", step, again, first)
		}
	}
}

// The data are aside and the new ones are not in place yet.
func testDeathWithinSwap(t *testing.T, p *past) {
	s := p.stage(t)
	if err := os.Truncate(s.database(), used(s.t, s.database())/2); err != nil {
		t.Fatal(err)
	}
	const swap = "7"
	if _, err := s.try("die", swap); err == nil || !strings.Contains(err.Error(), ": swap") {
		t.Fatal(err)
	}
	if err := os.Rename(s.dir, s.dir+".lost"); err != nil {
		t.Fatal(err)
	}
	s.server.listed = nil
	said := s.run()
	if !said.Restored || !strings.HasPrefix(said.Reason, "check the database") {
		t.Errorf("report %+v", said)
	}
	if kept := size(t, filepath.Join(s.dir+".lost", "member/snap/db")); kept == 0 {
		t.Error("no evidence is left")
	}
	s.holds(said, p.end)
}

func testNoBackup(t *testing.T, p *past) {
	for _, c := range []struct {
		why    string
		change func(s *server)
		want   string
	}{
		{"there was none yet", func(s *server) { s.listed = nil }, "there is no full backup"},
		{"deltas alone are none", func(s *server) { s.listed = p.deltas(2, 3) }, "there is no full backup"},
		{"all are damaged", func(s *server) { s.contents = map[string][]byte{} }, "there is no full backup that is of use"},
		{"a source that refuses this client is not asked for minutes", func(s *server) { s.faults[""] = []int{403, 403} }, "403"},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := p.stage(t)
			s.t = t
			if err := os.Truncate(s.database(), used(s.t, s.database())/2); err != nil {
				t.Fatal(err)
			}
			c.change(s.server)
			before := size(t, s.database())
			if _, err := s.try(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "exit status 1") {
				t.Errorf("%v, want %q", err, c.want)
			}
			if left := listed(t, filepath.Dir(s.dir)); !slices.Equal(left, []string{"data", "data.lock"}) || size(t, s.database()) != before {
				t.Errorf("there is %v, and %d bytes of what were %d", left, size(t, s.database()), before)
			}
		})
	}
}

func testAway(t *testing.T, p *past) {
	s := p.stage(t)
	s.empty()
	newest := full(p.lateAt - 3).Name
	s.server.faults = map[string][]int{"": {503}, newest: {cut}, p.deltas(p.earlyAt+1, 4)[3].Name: {502}}
	said := s.run()
	if len(said.Damaged) > 0 || said.Snapshot != newest {
		t.Errorf("report %+v", said)
	}
	s.holds(said, p.end)

	away, err := s.server.asking.open()
	if err != nil {
		t.Fatal(err)
	}
	away.patience, away.pause = 50*time.Millisecond, time.Millisecond
	s.server.faults[newest] = slices.Repeat([]int{503}, 1000)
	err = away.fetch(t.Context(), newest, filepath.Join(t.TempDir(), "full"))
	if err == nil || useless(err) || !strings.Contains(err.Error(), "does not answer: 503") {
		t.Errorf("a store that stays away: %v", err)
	}
	if err := away.fetch(t.Context(), newest, filepath.Join(t.TempDir(), "missing", "full")); errors.Is(err, errGone) || err == nil {
		t.Errorf("a disk that does not take it: %v", err)
	}
	stranger := newAuthority(t).files(t)
	stranger.source, stranger.cacert = s.server.asking.source, s.server.asking.cacert
	if away, err = stranger.open(); err != nil {
		t.Fatal(err)
	}
	if _, err := away.once().list(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a client of another authority: %v", err)
	}
}

// Keys with leases end with their leases, also with those that came after the snapshot.
func testLeases(t *testing.T, p *past) {
	s := p.stage(t)
	s.empty()
	s.server.listed = without(s.server.listed, []string{full(p.lateAt - 3).Name})
	s.holds(s.run(), p.end)
	m, err := startMember(t.Context(), s.dir, "etcd-0", false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	client := v3client.New(m.etcd.Server)
	for name, longest := range map[string]int64{"old": 2, "old-too": 2, "new": leaseTTL} {
		found, err := client.Get(t.Context(), "/registry/"+p.secret+"/leased/"+name)
		if err != nil || len(found.Kvs) != 1 {
			t.Fatalf("%s: %v %v", name, found, err)
		}
		alive, err := client.TimeToLive(t.Context(), clientv3.LeaseID(found.Kvs[0].Lease), clientv3.WithAttachedKeys())
		if err != nil || alive.GrantedTTL != longest || !slices.ContainsFunc(alive.Keys, func(key []byte) bool { return bytes.HasSuffix(key, []byte("/"+name)) }) {
			t.Errorf("%s: %+v, want %d seconds (%v)", name, alive, longest, err)
		}
	}
	// While a member of ours runs nothing expires: a replay may take longer than that.
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 5*time.Second; <-tick.C {
		if found, err := client.Get(t.Context(), "/registry/"+p.secret+"/leased/old"); err != nil || found.Count != 1 {
			t.Fatalf("a key expired after %s (%v)", time.Since(began), err)
		}
	}
}
