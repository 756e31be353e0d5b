package backup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"berth.dev/berth/internal/backup"
)

// sees waits for what a recorder says of an etcd that came back with less.
func (b *bed) sees(what string, right func(rolledBack, restorable bool, shared, written int64) bool) {
	b.t.Helper()
	b.eventually(what, func() error {
		state := b.recorder.State()
		shared, written := int64(0), int64(0)
		if state.Rollback != nil {
			shared, written = state.Rollback.Shared, state.Rollback.Written
		}
		if state.Rollback == nil || !right(state.RolledBack, state.Rollback.Restorable(), shared, written) {
			return fmt.Errorf("it says %q, %+v", state.Etcd, state.Rollback)
		}
		return nil
	})
}

// Of an etcd that comes back with less than was recorded it is found out from where on, and
// what it has taken since: leases alone let the backups be put back, anything else does not,
// also when no more comes. What was put back is recorded again.
func TestEtcdThatCameBackWithLess(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.record()
	b.stored(1)
	b.put("/registry/a", "1")
	old := b.put("/registry/leases/kube-system/a", "1")
	b.stored(old)
	b.stopEtcd()
	before := t.TempDir()
	if err := os.CopyFS(before, os.DirFS(b.data)); err != nil {
		t.Fatal(err)
	}
	b.startEtcd()
	for i := range 50 {
		b.put("/registry/a", fmt.Sprint("later", i))
	}
	last := b.put("/registry/a", "last")
	b.stored(last)
	rollBack := func() {
		t.Helper()
		b.stopEtcd()
		if err := os.RemoveAll(b.data); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(b.data, os.DirFS(before)); err != nil {
			t.Fatal(err)
		}
		b.startEtcd()
	}
	rollBack()
	b.sees("it has taken nothing", func(rolledBack, restorable bool, shared, written int64) bool {
		return rolledBack && restorable && shared == old && written == 0
	})
	own := b.put("/registry/leases/kube-system/a", "2")
	b.sees("it has taken what is renewed", func(_, restorable bool, shared, _ int64) bool {
		return restorable && shared == old && b.recorder.State().Rollback.Revision == own
	})
	b.put("/registry/configmaps/default/mine", "1")
	b.sees("somebody counts on it", func(_, restorable bool, shared, written int64) bool {
		return !restorable && shared == old && written == 1
	})
	b.eventually("it says so", func() error {
		if said := b.recorder.State().Etcd; !strings.Contains(said, "the operator chooses") {
			return errors.New(said)
		}
		return nil
	})
	if _, err := b.etcd.Compact(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	b.stopRecording()
	b.record()
	b.sees("another recorder cannot tell", func(rolledBack, restorable bool, shared, _ int64) bool {
		return rolledBack && !restorable && shared == 0
	})

	rollBack()
	b.sees("it is as before", func(_, restorable bool, shared, _ int64) bool { return restorable && shared == old })
	b.notPutBack(last)
	b.stopEtcd()
	if said := b.recover("back"); !said.Restored || said.Revision != last {
		t.Errorf("report %+v", said)
	}
	b.startEtcd()
	b.stored(b.put("/registry/b", "1"))
	if state := b.recorder.State(); state.RolledBack || state.Rollback != nil || b.value("/registry/a") != "last" {
		t.Errorf("state %+v", state)
	}
}

// notPutBack sees that backups are put back by nobody while they may be of a member that held
// other data: members differed when they were made, or another one has what these lack.
func (b *bed) notPutBack(last int64) {
	b.t.Helper()
	ahead := newBed(b.t, 0)
	for ahead.put("/a", "1") < last {
	}
	for _, c := range []struct {
		what    string
		doubted bool
		members []string
		want    bool
	}{
		{"what was recorded is in doubt", true, nil, false},
		{"another member has it", false, []string{b.client, b.client, ahead.client}, false},
		{"all lack it", false, []string{b.client, b.client, b.client}, true},
	} {
		b.stopRecording()
		b.doubtful, b.members = c.doubted, c.members
		b.record()
		b.sees(c.what, func(rolledBack, restorable bool, _, _ int64) bool { return rolledBack && restorable == c.want })
	}
}

// What is found out of an etcd that came back with less is told each time, and in words: who puts
// the backups back is to know what it has taken until then, and the operator why nobody does.
func TestRollbackIsToldEachTime(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.record()
	b.stored(b.put("/a", "1"))
	b.stopRecording()
	less := newBed(t, 0)
	less.stores, less.key = b.stores, b.key
	less.told = make(chan backup.State, 1)
	less.record()
	before := time.Time{}
	for range 3 {
		less.eventually("it is told again", func() error {
			select {
			case state := <-less.told:
				if state.Rollback == nil || !strings.Contains(state.Etcd, state.Rollback.String()) {
					t.Fatalf("of %+v it is said %q", state.Rollback, state.Etcd)
				}
				if at := state.Rollback.Time; !at.After(before) {
					return fmt.Errorf("told of %s, after %s", at, before)
				}
				before = state.Rollback.Time
				return nil
			default:
				return errors.New("nothing is told")
			}
		})
	}
}

// A recorder that is told that etcd has lost data goes on where it has them after all.
func TestEtcdThatHasAllAfterAll(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.record()
	b.stored(1)
	b.stored(b.put("/a", "1"))
	b.stopRecording()
	unseen := b.put("/a", "2")
	b.rolledBack = true
	b.record()
	b.stored(unseen)
	if state := b.recorder.State(); state.RolledBack || len(b.objects(0, "full")) != 1 {
		t.Errorf("state %+v, %v", state, b.objects(0, "full"))
	}
}

// One member of etcd that has less than the others has lost nothing for them: what was
// recorded may be its own, so that they are recorded anew.
func TestMemberThatHasLessThanTheOthers(t *testing.T) {
	t.Parallel()
	others, odd := newBed(t, 1), newBed(t, 0)
	others.record()
	others.stored(others.put("/a", "1"))
	others.stored(others.put("/a", "2"))
	others.stopRecording()
	odd.stores, odd.key, odd.members = others.stores, others.key, []string{others.client, odd.client, others.client}
	odd.record()
	odd.eventually("it differs from the others", func() error {
		if state := odd.recorder.State(); state.RolledBack || !state.Doubtful || !strings.Contains(state.Etcd, "the majority has") {
			return fmt.Errorf("state %+v", state)
		}
		return nil
	})
	odd.stopRecording()
	odd.client, odd.doubtful = others.client, true
	odd.record()
	odd.eventually("another member is recorded anew", func() error {
		if state := odd.recorder.State(); state.Doubtful || len(others.objects(0, "full")) != 2 {
			return fmt.Errorf("state %+v", state)
		}
		return nil
	})
}

// When members of etcd have held different data, a snapshot of what they hold then begins
// another chain at once.
func TestRecordedAnewAfterMembersDiffered(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.record()
	b.stored(b.put("/a", "1"))
	status, err := b.etcd.Status(t.Context(), b.client)
	if err != nil {
		t.Fatal(err)
	}
	alarm := func(action etcdserverpb.AlarmRequest_AlarmAction) {
		t.Helper()
		_, err := etcdserverpb.NewMaintenanceClient(b.etcd.ActiveConnection()).Alarm(context.WithoutCancel(t.Context()), &etcdserverpb.AlarmRequest{
			Action: action, MemberID: status.Header.MemberId, Alarm: etcdserverpb.AlarmType_CORRUPT,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	alarm(etcdserverpb.AlarmRequest_ACTIVATE)
	b.eventually("the alarm is seen", func() error {
		if state := b.recorder.State(); !state.Doubtful || !slices.Equal(state.Alarms, []string{"CORRUPT"}) || !strings.Contains(state.Etcd, "different data") {
			return fmt.Errorf("state %+v", state)
		}
		return nil
	})
	if fulls := b.objects(0, "full"); len(fulls) != 1 {
		t.Errorf("it is recorded meanwhile: %v", fulls)
	}
	alarm(etcdserverpb.AlarmRequest_DEACTIVATE)
	b.eventually("it is recorded anew", func() error {
		if state := b.recorder.State(); state.Doubtful || len(b.objects(0, "full")) != 2 {
			return errors.New(state.Etcd)
		}
		return nil
	})
	b.stored(b.put("/a", "2"))
}
