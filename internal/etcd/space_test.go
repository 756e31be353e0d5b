package etcd_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"berth.dev/berth/internal/etcd"
)

// Three members that history has filled take writes again once it has gone, and nothing of
// what was acknowledged has.
func TestRoomIsMadeInAFullEtcd(t *testing.T) {
	const quota = 4 << 20
	m := newMembers(t)
	m.flags = []string{fmt.Sprintf("--quota-backend-bytes=%d", quota)}
	for i := range 3 {
		m.start(i, "new", m.cluster(0, 1, 2))
	}
	m.wait(2, "it votes", voter)
	client := m.dial(0)
	if _, err := client.Put(t.Context(), "compact_rev_key", "0"); err != nil {
		t.Fatal(err)
	}
	last, refused, filled := "", "", false
	for i := range 1000 {
		value := fmt.Sprint(i, strings.Repeat("x", 50_000))
		if _, err := client.Put(t.Context(), "a", value); err != nil {
			refused = value // or written all the same, by the one that raised the alarm (quotaApplierV3)
			filled = errors.Is(err, rpctypes.ErrNoSpace)
			break
		}
		last = value
	}
	if !filled {
		t.Fatal("etcd was not filled")
	}
	space := m.space(func(s etcd.Space) error {
		if !s.NoSpace {
			return errors.New("no alarm")
		}
		return nil
	})
	if len(space.Members) != 3 || space.Marked == 0 || space.Marked >= space.Revision {
		t.Fatalf("%+v", space)
	}
	if err := (etcd.Client{}).Compact(t.Context(), m.target(), space.Revision); err != nil {
		t.Fatal(err)
	}
	if err := (etcd.Client{}).Compact(t.Context(), m.target(), space.Revision); err != nil {
		t.Errorf("what has gone before: %v", err)
	}
	space = m.space(func(s etcd.Space) error {
		// A member that was too busy to be asked counts what has gone when it commits the next time.
		if err := (etcd.Client{}).Compact(t.Context(), m.target(), s.Revision); err != nil {
			return err
		}
		for _, member := range s.Members {
			if !member.Healthy || member.Quota != quota || member.InUse > quota/2 {
				return fmt.Errorf("members %+v", s.Members)
			}
		}
		return nil
	})
	for _, member := range space.Members {
		if member.Size <= quota/2 {
			t.Errorf("a member has given back what it held before it was defragmented: %+v", member)
		}
		if err := (etcd.Client{}).Defragment(t.Context(), m.target(), member.ID); err != nil {
			t.Fatal(err)
		}
	}
	m.space(func(s etcd.Space) error {
		for _, member := range s.Members {
			if member.Size > quota/2 {
				return fmt.Errorf("members %+v", s.Members)
			}
		}
		return nil
	})
	if _, err := client.Put(t.Context(), "b", "c"); !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Errorf("a write while the alarm is raised: %v", err)
	}
	if err := (etcd.Client{}).DisarmNoSpace(t.Context(), m.target()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), "b", "c"); err != nil {
		t.Errorf("it takes no writes: %v", err)
	}
	for i := range 3 {
		if got := m.get(i, "a"); got != last && got != refused {
			t.Errorf("member %d has lost what was acknowledged", i)
		}
	}
	if err := (etcd.Client{}).Defragment(t.Context(), m.target(), 1); err == nil {
		t.Error("a member that is not there was defragmented")
	}
}

// space waits until the members store what they should.
func (m *members) space(ok func(etcd.Space) error) (space etcd.Space) {
	m.t.Helper()
	m.eventually("what the members store", func() (err error) {
		if space, err = (etcd.Client{}).Space(m.t.Context(), m.target()); err != nil {
			return err
		}
		return ok(space)
	})
	return space
}
