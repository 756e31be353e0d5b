package backup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"berth.dev/berth/internal/backup"
)

// copyData keeps what etcd holds, which has ended.
func (b *bed) copyData() (back func()) {
	b.t.Helper()
	before := b.t.TempDir()
	if err := os.CopyFS(before, os.DirFS(b.data)); err != nil {
		b.t.Fatal(err)
	}
	return func() {
		b.t.Helper()
		if err := os.RemoveAll(b.data); err != nil {
			b.t.Fatal(err)
		}
		if err := os.CopyFS(b.data, os.DirFS(before)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// says waits until a recorder says why etcd is not recorded.
func (b *bed) says(rolledBack bool, want string) {
	b.t.Helper()
	b.eventually("it is not recorded: "+want, func() error {
		if state := b.recorder.State(); state.RolledBack != rolledBack || !strings.Contains(state.Etcd, want) {
			return fmt.Errorf("rolled back: %t; it says %q", state.RolledBack, state.Etcd)
		}
		return nil
	})
}

// An etcd that lost its last writes and has taken as many others, or more, before it is looked at
// again has lost data: the recorder that has seen the writes knows, and so does the next one by
// the stores. Where that has been compacted nobody can tell, and a snapshot begins the next chain.
func TestEtcdThatTookOtherWrites(t *testing.T) {
	t.Parallel()
	for why, c := range map[string]struct{ restarted, more, compacted bool }{
		"as many, seen by the same recorder": {false, false, false},
		"more, seen by the same recorder":    {false, true, false},
		"as many, seen by the next recorder": {true, false, false},
		"more, which has been compacted":     {false, true, true},
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 1)
			away := &atomic.Bool{}
			b.connect = func(context.Context) (clientv3.Config, error) {
				if away.Load() {
					return clientv3.Config{}, errors.New("it is not reached yet")
				}
				return clientv3.Config{Endpoints: []string{b.client}, Logger: zap.NewNop(), DialTimeout: 5 * time.Second}, nil
			}
			b.record()
			b.stored(1)
			kept := b.put("/registry/a", "1")
			b.stored(kept)
			away.Store(true)
			b.stopEtcd()
			back := b.copyData()
			b.says(false, "not reached")
			b.startEtcd()
			away.Store(false)
			last := b.put("/registry/a", "lost")
			b.stored(last)
			if c.restarted {
				b.stopRecording()
			}
			away.Store(true)
			b.stopEtcd()
			if back(); !c.restarted {
				b.says(false, "not reached")
			}
			b.startEtcd()
			own := b.put("/registry/b", "other")
			for range 3 {
				if c.more {
					own = b.put("/registry/b", "more")
				}
			}
			if c.compacted {
				if _, err := b.etcd.Compact(t.Context(), own); err != nil {
					t.Fatal(err)
				}
				b.put("/registry/b", "after")
			}
			deltas := b.objects(0, "delta")
			if away.Store(false); c.restarted {
				b.record()
			}
			if c.compacted {
				b.stored(b.put("/registry/b", "last"))
				if state := b.recorder.State(); state.RolledBack || len(b.objects(0, "full")) != 2 {
					t.Errorf("state %+v, %v", state, b.objects(0, "full"))
				}
				return
			}
			b.sees("it has another write", func(rolledBack, restorable bool, shared, written int64) bool {
				return rolledBack && !restorable && shared == kept && written == own-kept
			})
			b.says(true, fmt.Sprintf("at revision %d", last))
			if now := b.objects(0, "delta"); !slices.Equal(now, deltas) || len(b.objects(0, "full")) != 1 {
				t.Errorf("another history was recorded: %v", now)
			}
		})
	}
}

// So has one that is back with other writes so soon that nobody noticed that it was away.
func TestEtcdThatIsBackAtOnceWithOtherWrites(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.record()
	b.stored(1)
	b.stored(b.put("/registry/a", "1"))
	b.stopEtcd()
	back := b.copyData()
	b.startEtcd()
	b.stored(b.put("/registry/a", "lost"))
	b.stopEtcd()
	back()
	deltas := b.objects(0, "delta")
	b.startEtcd()
	for i := range 20 {
		b.put("/registry/b", fmt.Sprint(i))
	}
	b.says(true, "another write than was recorded")
	if now := b.objects(0, "delta"); !slices.Equal(now, deltas) || len(b.objects(0, "full")) != 1 {
		t.Errorf("another history was recorded: %v", now)
	}
}

// Another etcd that answers while the recorder listens shows at once.
func TestAnotherEtcdAnswers(t *testing.T) {
	t.Parallel()
	b, strange := newBed(t, 1), newBed(t, 0)
	w := newWire(t, strings.TrimPrefix(b.client, "http://"))
	b.connect = func(context.Context) (clientv3.Config, error) {
		return clientv3.Config{Endpoints: []string{"http://" + w.Addr().String()}, Logger: zap.NewNop(), DialTimeout: time.Minute}, nil
	}
	b.record()
	b.stored(1)
	last := b.put("/a", "1")
	b.stored(last)
	for strange.put("/b", "1") < last {
	}
	w.lead(strings.TrimPrefix(strange.client, "http://"))
	b.says(true, "another write than was recorded")
}

// A member of etcd that holds something else than the others is not recorded, and one that was is
// followed by the others.
func TestMemberThatHoldsSomethingElse(t *testing.T) {
	t.Parallel()
	for why, c := range map[string]struct{ oddRecorded, silent, compacted bool }{
		"the odd one is read later": {false, false, false}, "the odd one was read": {true, false, false}, "the odd one was read, and is silent": {true, true, false},
		"the odd one was read, and is silent until the others have compacted that": {true, true, true},
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			b, other := newBed(t, 1), newBed(t, 0)
			b.members = []string{b.client, other.client, other.client}
			if !c.oddRecorded {
				b.members[1] = b.client
			}
			at := &atomic.Pointer[string]{}
			at.Store(&b.client)
			b.connect = func(context.Context) (clientv3.Config, error) {
				return clientv3.Config{Endpoints: []string{*at.Load()}, Logger: zap.NewNop(), DialTimeout: 5 * time.Second}, nil
			}
			b.record()
			b.stored(1)
			last := b.put("/a", "1")
			b.stored(last)
			b.stopRecording()
			for other.put("/b", "1") < last {
			}
			at.Store(&other.client)
			if c.silent {
				b.stopEtcd()
			}
			b.record()
			if c.silent {
				b.says(false, "a majority of the members of etcd holds something else")
				if b.recorder.State().Doubtful || len(b.objects(0, "full")) != 1 {
					t.Errorf("state %+v", b.recorder.State())
				}
			}
			switch {
			case c.compacted:
				if _, err := other.etcd.Compact(t.Context(), other.put("/b", "2")); err != nil {
					t.Fatal(err)
				}
			case c.silent:
				b.startEtcd()
			}
			if !c.oddRecorded {
				b.says(false, "than the majority")
				if !b.recorder.State().Doubtful || len(b.objects(0, "full")) != 1 {
					t.Errorf("state %+v", b.recorder.State())
				}
				at.Store(&b.client)
			}
			b.eventually("the others are recorded anew", func() error {
				if state := b.recorder.State(); state.RolledBack || state.Doubtful || len(b.objects(0, "full")) != 2 {
					return fmt.Errorf("state %+v", state)
				}
				return nil
			})
			if told := b.disputed.Load(); c.compacted != (told == last) || !c.compacted && told != 0 {
				t.Errorf("told that %d is disputed, of %d", told, last)
			}
		})
	}
}

// An etcd of one member that lost its last writes, and has taken as many others, has lost data, though
// what was recorded was in doubt by then: there is nobody else that it could be of.
func TestLoneEtcdThatLostDataInDoubt(t *testing.T) {
	t.Parallel()
	b, other := newBed(t, 1), newBed(t, 0)
	b.record()
	b.stored(1)
	last := b.put("/a", "1")
	b.stored(last)
	b.stopRecording()
	for other.put("/b", "1") < last {
	}
	b.doubtful = true
	b.connect = func(context.Context) (clientv3.Config, error) {
		return clientv3.Config{Endpoints: []string{other.client}, Logger: zap.NewNop(), DialTimeout: 5 * time.Second}, nil
	}
	b.record()
	b.says(true, "another write than was recorded")
	if len(b.objects(0, "full")) != 1 {
		t.Errorf("it was recorded anew: %v", b.objects(0, "full"))
	}
}

// What was written at one revision is asked for at the cost of a piece of what etcd tells at once,
// not of a thousand revisions.
func TestOneRevisionIsReadAlone(t *testing.T) {
	t.Parallel()
	b := newBed(t, 0)
	value := strings.Repeat("a", 128<<10)
	first := b.put("/a", value)
	for range 200 {
		b.put("/a", value)
	}
	w := newWire(t, strings.TrimPrefix(b.client, "http://"))
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + w.Addr().String()}, Logger: zap.NewNop(), DialTimeout: time.Minute, DialOptions: backup.Cheaply()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	w.stick(16 << 20)
	if print, err := backup.PrintAt(t.Context(), client, first); err != nil || print == 0 || w.sticks() {
		t.Errorf("%d, %v; it was too much: %t", print, err, w.sticks())
	}
}

// A revision that is larger than a piece of what etcd tells is read to its end.
func TestRevisionInPieces(t *testing.T) {
	t.Parallel()
	b := newBed(t, 0)
	var all []clientv3.Op
	for i := range 15 {
		all = append(all, clientv3.OpPut(fmt.Sprintf("/large/%d", i), strings.Repeat("a", 100<<10)))
	}
	large, err := b.etcd.Txn(t.Context()).Then(all...).Commit()
	if err != nil {
		t.Fatal(err)
	}
	b.put("/b", "1")
	whole, err := backup.PrintAt(t.Context(), b.etcd, large.Header.Revision)
	if err != nil {
		t.Fatal(err)
	}
	b.flags = []string{"--max-request-bytes=100000"}
	b.stopEtcd()
	b.startEtcd()
	if pieces, err := backup.PrintAt(t.Context(), b.etcd, large.Header.Revision); err != nil || pieces != whole {
		t.Errorf("it is another in pieces: %v", err)
	}
}
