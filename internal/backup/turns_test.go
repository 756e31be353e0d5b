package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// still is an etcd that gives the same snapshot again and again.
type still struct {
	clientv3.KV
	clientv3.Maintenance
}

func (still) Get(context.Context, string, ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return &clientv3.GetResponse{Header: &pb.ResponseHeader{Revision: 7}}, nil
}

func (still) SnapshotWithVersion(context.Context) (*clientv3.SnapshotResponse, error) {
	data := strings.Repeat("data", 1000)
	sum := sha256.Sum256([]byte(data))
	return &clientv3.SnapshotResponse{Snapshot: io.NopCloser(strings.NewReader(data + string(sum[:])))}, nil
}

func (s still) client() *clientv3.Client { return &clientv3.Client{KV: s, Maintenance: s} }

// sharing is a recorder of a cluster that shares turns.
func sharing(t *testing.T, id string, turns *Turns, stores ...string) *Recorder {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return NewRecorder(Config{
		ClusterID: id, Stores: stores, Key: key, Schedule: Schedule{Full: time.Hour, Delta: time.Second, Keep: Retention{All: time.Hour}},
		Turns: turns, Patience: 100 * time.Millisecond, Scratch: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	})
}

func fulls(t *testing.T, dir, id string) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, id, "full-*.age"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// A store that hangs while it is given a snapshot keeps neither other clusters from theirs
// nor the cluster's other stores, and is given no more of them meanwhile.
func TestStoreThatHangsInAWrite(t *testing.T) {
	given := &atomic.Int64{}
	hangs, dir, turns := HangingStore(t, KindFull, given), t.TempDir(), NewTurns(1)
	first, second := sharing(t, "first", turns, hangs, "file://"+dir), sharing(t, "second", turns, hangs, "file://"+dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	aside, ended := make(chan struct{}), make(chan error, 1)
	another := sync.OnceFunc(func() { close(aside) })
	go func() { ended <- first.full(ctx, still{}.client(), first.places, another) }()
	select {
	case <-aside:
	case err := <-ended:
		t.Fatalf("the store does not hang: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("it is waited for, and nobody else goes first")
	}
	for began := time.Now(); fulls(t, dir, "first") != 1; runtime.Gosched() {
		if time.Since(began) > time.Minute {
			t.Fatal("the other store of the cluster has no snapshot")
		}
	}
	if err := second.full(ctx, still{}.client(), second.places, func() {}); err != nil || fulls(t, dir, "second") != 1 {
		t.Errorf("another cluster: %v", err)
	}
	if n := given.Load(); n != 1 {
		t.Errorf("the store that hangs is given %d snapshots, want 1", n)
	}
	if state := second.State().Stores[0]; state.Error == "" {
		t.Error("it does not show that the store is passed over")
	}
	later := time.Now().Add(2 * time.Hour)
	if first.places[0].due(later, first.Schedule) || !first.places[1].due(later, first.Schedule) {
		t.Error("the next snapshot is not for the other store alone")
	}
	if err := first.full(ctx, still{}.client(), first.places[1:], func() {}); err != nil || fulls(t, dir, "first") != 2 {
		t.Errorf("the next one for the other store: %v", err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("the store that hangs has taken it")
	}
	if !first.places[0].due(later, first.Schedule) {
		t.Error("the store that hangs gets no snapshot any more")
	}
}

// Where enough wait for a store that hangs, the next one gives it up.
func TestStoreThatHangsIsGivenUp(t *testing.T) {
	dir, turns := t.TempDir(), NewTurns(1)
	hangs := HangingStore(t, KindFull, &atomic.Int64{})
	turns.stores[hangs] = &standing{trying: lateAtOnce, late: lateAtOnce}
	r := sharing(t, "a", turns, hangs, "file://"+dir)
	r.Patience = 2 * time.Second // which the directory may take
	err := r.full(t.Context(), still{}.client(), r.places, func() { t.Error("one too many waits") })
	if err == nil || !strings.Contains(err.Error(), errSilent.Error()) || fulls(t, dir, "a") != 1 {
		t.Errorf("it says %v", err)
	}
	turns.Hold(t)() // nobody has the turn
}

// A store that takes nothing is tried by one snapshot at a time until it goes on.
func TestTurnsKnowWhichStoreIsSilent(t *testing.T) {
	turns := NewTurns(3)
	take := func() *turn {
		t.Helper()
		taken, err := turns.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	a, b := take(), take()
	if !a.admit("s") || !b.admit("s") {
		t.Error("a store that is well is refused")
	}
	a.heard("s", false)
	c := take()
	if c.admit("s") || !c.admit("other") {
		t.Error("a store that takes nothing is tried by one more, or another is not")
	}
	if once := a.giveBack([]string{"s"}); !once || !a.giveBack([]string{"s"}) || len(turns.taken) != 2 {
		t.Errorf("%d turns are taken", len(turns.taken))
	}
	a.end()
	b.leave("s")
	if len(turns.taken) != 2 || !c.admit("s") {
		t.Error("it is not tried again when nobody does")
	}
	c.heard("s", true)
	if d := take(); !d.admit("s") {
		t.Error("it goes on, and is refused")
	} else {
		d.end()
	}
	b.end()
	c.end()
	if len(turns.taken) != 0 || len(turns.stores) != 0 {
		t.Errorf("left: %d turns, %v", len(turns.taken), turns.stores)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		take()
	}
	if _, err := turns.take(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("there is one turn more: %v", err)
	}
}

// A store that is slow keeps its snapshot: it was silent, goes on, and has all of it.
func TestSlowStoreGetsItsSnapshot(t *testing.T) {
	spool, err := newSpool(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer spool.close()
	turns, p := NewTurns(1), &place{address: "s"}
	turn, err := turns.take(t.Context())
	if err != nil || !turn.admit("s") {
		t.Fatal(err)
	}
	defer turn.end()
	others := 0
	d := &delivery{spool: spool, turn: turn, another: func() { others++ }, going: map[*place]*going{p: {giveUp: func(error) { t.Error("it is given up") }}}}
	dog := newWatchdog(time.Hour, func() {})
	reader := &taking{from: spool.reader(), dog: dog, goesOn: func(all int64) { d.goesOn(p, all) }}
	d.silent(p)
	if others != 1 || !turns.stores["s"].silent {
		t.Errorf("others go first %d times, silent: %t", others, turns.stores["s"].silent)
	}
	if _, err := spool.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	spool.end(nil)
	if got, err := io.ReadAll(reader); err != nil || string(got) != "data" || turns.stores["s"].silent {
		t.Errorf("it reads %q, %v", got, err)
	}
	if left := d.ended(p); left != 0 || len(turns.stores) != 0 {
		t.Errorf("%d are left, %v", left, turns.stores)
	}
	d.silent(p) // too late
	if len(turns.stores) != 0 {
		t.Errorf("what has ended is silent: %v", turns.stores)
	}
}

// A store that takes nothing is tried by one more after a while, ever more seldom, and by all
// when it takes deltas again, or has taken more than is read ahead for it: what is on its way
// may hang for good.
func TestTurnsTryASilentStoreAgain(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	turns, now := NewTurns(9), noon
	turns.now = func() time.Time { return now }
	take := func() *turn {
		t.Helper()
		taken, err := turns.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(taken.end)
		return taken
	}
	hung := take()
	hung.admit("s")
	hung.heard("s", false)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{time.Minute, false}, {firstTry, true}, {firstTry + time.Minute, false}, {3 * firstTry, true}, {6 * firstTry, false}, {7 * firstTry, true}} {
		if now = noon.Add(c.after); take().admit("s") != c.want {
			t.Errorf("after %s it is not %t that it is tried", c.after, c.want)
		}
	}
	turns.isBack("s")
	if !take().admit("s") {
		t.Error("it is back, and is not tried")
	}
	hung.heard("s", false)
	turns.stores["s"].late = lateAtOnce
	if now = now.Add(time.Hour); take().admit("s") {
		t.Error("enough wait for it, and one more tries it")
	}
	d := &delivery{turn: hung, going: map[*place]*going{{address: "s"}: {}}}
	for p := range d.going {
		if d.goesOn(p, readAhead); !turns.stores["s"].silent {
			t.Error("what is read ahead for it counts as taken")
		}
		if d.goesOn(p, readAhead+1); turns.stores["s"].silent {
			t.Error("it has taken much, and is silent")
		}
	}
	turns.stores["s"].late = 0
	turns.isBack("other")
}

// A store that takes deltas again is given a snapshot anew in place of one that hangs.
func TestSnapshotThatHangsIsBegunAnew(t *testing.T) {
	p, ended := &place{failed: 5}, error(nil)
	for _, c := range []struct{ took, hangs, want bool }{{true, true, false}, {false, true, false}, {true, false, false}, {false, true, false}, {true, true, true}} {
		ended = nil
		p.hangs(nil)
		if c.hangs {
			p.hangs(func(cause error) { ended = cause })
		}
		if p.tookDelta(c.took); (ended != nil) != c.want {
			t.Errorf("%+v: %v", c, ended)
		}
	}
	if !errors.Is(ended, errBack) || p.failed != 0 {
		t.Errorf("%v, %d failed", ended, p.failed)
	}
}

// Why etcd gives no whole snapshot is said, and not that the stores have got none.
func TestSnapshotThatEtcdBreaksOff(t *testing.T) {
	dir := t.TempDir()
	r := sharing(t, "a", NewTurns(1), "file://"+dir)
	broken := errors.New("etcd has ended")
	err := r.full(t.Context(), (&breaking{cause: broken}).client(), r.places, func() {})
	if !errors.Is(err, broken) || fulls(t, dir, "a") > 0 {
		t.Errorf("it says %v", err)
	}
}

// breaking is an etcd that ends in the middle of a snapshot.
type breaking struct {
	still
	cause error
}

func (b *breaking) SnapshotWithVersion(context.Context) (*clientv3.SnapshotResponse, error) {
	return &clientv3.SnapshotResponse{Snapshot: io.NopCloser(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(b.cause)))}, nil
}

func (b *breaking) client() *clientv3.Client { return &clientv3.Client{KV: b, Maintenance: b} }

// What is removed in a store before and after a snapshot, however long that takes, does not
// make the store one that takes nothing.
func TestStoreThatIsSlowToRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := sharing(t, "a", NewTurns(1), "file://"+dir)
		r.Patience = time.Minute
		r.Now = func() time.Time { // what is removed depends on it
			<-time.After(r.Patience + time.Second)
			return time.Now()
		}
		err := r.full(t.Context(), still{}.client(), r.places, func() { t.Error("the store counts as one that takes nothing") })
		if err != nil || fulls(t, dir, "a") != 1 {
			t.Errorf("it says %v", err)
		}
	})
}
