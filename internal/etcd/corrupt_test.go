package etcd_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"berth.dev/berth/internal/etcd"
)

// A member whose file was changed beneath it is found out, also as the leader; the others
// take writes again when it has gone, and have all that was acknowledged.
func TestMemberThatHoldsOtherDataIsMadeAnew(t *testing.T) {
	m := newMembers(t)
	m.flags = []string{"--feature-gates=CompactHashCheck=true", "--compact-hash-check-time=1s"}
	for i := range 3 {
		m.start(i, "new", m.cluster(0, 1, 2))
	}
	m.wait(2, "it votes", voter)
	client := m.dial(0)
	const right, wrong = "what-was-acknowledged", "what-was-never-written"
	put, err := client.Put(t.Context(), "a", right)
	if err != nil {
		t.Fatal(err)
	}
	if found := m.corruption(func(etcd.Corruption) error { return nil }); len(found.Alarmed) > 0 || len(found.Members) > 0 {
		t.Errorf("without an alarm: %+v", found)
	}
	m.damage(2, right, wrong[:len(right)])
	m.start(2, "existing", m.cluster(0, 1, 2))
	m.do(etcd.Change{Action: etcd.MoveLeader, ID: m.wait(2, "it is back", up).ID})
	bad := m.wait(2, "it leads", leader)
	if _, err := client.Compact(t.Context(), put.Header.Revision); err != nil {
		t.Fatal(err)
	}
	found := m.corruption(func(c etcd.Corruption) error {
		if len(c.Alarmed) == 0 || len(c.Members) != 3 {
			return fmt.Errorf("%+v", c)
		}
		return nil
	})
	hashes := map[uint32][]uint64{}
	for _, member := range found.Members {
		if !member.Answered || member.Compacted != put.Header.Revision || member.Revision != put.Header.Revision {
			t.Errorf("%+v", member)
		}
		hashes[member.Hash] = append(hashes[member.Hash], member.ID)
	}
	for _, of := range hashes {
		if len(hashes) != 2 || len(of) == 1 && of[0] != bad.ID {
			t.Fatalf("member %x is the wrong one of %+v", bad.ID, hashes)
		}
	}
	if _, err := client.Put(t.Context(), "b", "c"); !errors.Is(err, rpctypes.ErrCorrupt) {
		t.Errorf("a write while the alarm is raised: %v", err)
	}
	m.do(etcd.Change{Action: etcd.MoveLeader, ID: m.wait(0, "it is there", up).ID})
	m.do(etcd.Change{Action: etcd.Remove, ID: bad.ID})
	m.do(etcd.Change{Action: etcd.Disarm})
	if _, err := client.Put(t.Context(), "b", "c"); err != nil {
		t.Errorf("the others take no writes: %v", err)
	}
	m.process[2].Kill()
	if err := os.RemoveAll(m.data(2)); err != nil {
		t.Fatal(err)
	}
	m.do(etcd.Change{Action: etcd.AddVoter, Peer: m.peer[2]})
	m.start(2, "existing", m.cluster(0, 1, 2))
	m.wait(2, "it votes again", voter)
	for i := range 3 {
		if got := m.get(i, "a"); got != right {
			t.Errorf("member %d has %q", i, got)
		}
	}
	if found := m.corruption(func(etcd.Corruption) error { return nil }); len(found.Alarmed) > 0 {
		t.Errorf("the alarm is raised: %+v", found)
	}
}

// What was wrong in history that has gone since is not wrong any more, and is what members
// remember all the same: the alarm that was taken back comes again, until history goes by one
// more revision.
func TestAlarmOfWhatHasGoneIsForgotten(t *testing.T) {
	m := newMembers(t)
	m.flags = []string{"--feature-gates=CompactHashCheck=true", "--compact-hash-check-time=1s"}
	for i := range 3 {
		m.start(i, "new", m.cluster(0, 1, 2))
	}
	m.wait(2, "it votes", voter)
	client := m.dial(0)
	const right, wrong = "what-was-acknowledged", "what-was-never-written"
	last := int64(0)
	for _, value := range []string{right, "b", "c", "d"} {
		put, err := client.Put(t.Context(), "a", value)
		if err != nil {
			t.Fatal(err)
		}
		last = put.Header.Revision
	}
	m.damage(2, right, wrong[:len(right)])
	m.start(2, "existing", m.cluster(0, 1, 2))
	m.wait(2, "it is back", voter)
	if _, err := client.Compact(t.Context(), last-2); err != nil {
		t.Fatal(err)
	}
	again := func(c etcd.Corruption) error {
		if len(c.Alarmed) == 0 || len(c.Members) != 3 {
			return fmt.Errorf("%+v", c)
		}
		for _, member := range c.Members {
			if first := c.Members[0]; !member.Answered || member.Learner || member.Hash != first.Hash || member.Revision != last || member.Compacted != last-2 {
				return fmt.Errorf("%+v", c)
			}
		}
		return nil
	}
	for range 2 {
		m.corruption(again)
		if alarms, err := (etcd.Client{}).Alarms(t.Context(), m.target()); err != nil || len(alarms) == 0 || alarms[0] != "CORRUPT" {
			t.Errorf("alarms %v, %v", alarms, err)
		}
		if space, err := (etcd.Client{}).Space(t.Context(), m.target()); err != nil || !space.Corrupt || space.NoSpace {
			t.Errorf("space %+v, %v", space, err)
		}
		m.do(etcd.Change{Action: etcd.Disarm})
	}
	m.corruption(again) // it has come again, twice
	var quiet time.Time
	m.eventually("the alarm stays away", func() error {
		alarms, err := (etcd.Client{}).Alarms(t.Context(), m.target())
		switch {
		case err != nil:
			return err
		case len(alarms) > 0:
			quiet = time.Time{}
			if err := (etcd.Client{}).Do(t.Context(), m.target(), etcd.Change{Action: etcd.Disarm}); err != nil {
				return err
			}
			if err := (etcd.Client{}).Compact(t.Context(), m.target(), last-1); err != nil {
				return err
			}
			quiet = time.Now()
		case !quiet.IsZero() && time.Since(quiet) > 4*time.Second:
			return nil
		}
		return fmt.Errorf("alarms %v", alarms)
	})
}

func (m *members) corruption(ok func(etcd.Corruption) error) (found etcd.Corruption) {
	m.t.Helper()
	m.eventually("what the members hold", func() (err error) {
		if found, err = (etcd.Client{}).Corruption(m.t.Context(), m.target()); err != nil {
			return err
		}
		return ok(found)
	})
	return found
}

// damage ends a member and changes what its file holds.
func (m *members) damage(i int, right, wrong string) {
	m.t.Helper()
	file := filepath.Join(m.data(i), "member", "snap", "db")
	m.eventually("what was written is in the file", func() error {
		held, err := os.ReadFile(file)
		if err == nil && !bytes.Contains(held, []byte(right)) {
			err = errors.New("not there")
		}
		return err
	})
	m.process[i].Kill()
	<-m.process[i].Ended()
	held, err := os.ReadFile(file)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(held, []byte(right), []byte(wrong)), 0o600); err != nil {
		m.t.Fatal(err)
	}
}
