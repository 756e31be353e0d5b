package backup

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Who defragments an etcd and who reads a snapshot of it keep out of each other's way; what is
// given up is out of it.
func TestReads(t *testing.T) {
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	r, now := NewReads(), noon
	r.now = func() time.Time { return now }
	begin := func(id string) (context.Context, func()) {
		t.Helper()
		reading, end, err := r.Begin(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
		return reading, end
	}
	first, endFirst := begin("a")
	second, endSecond := begin("a")
	if _, held := r.Hold("a"); held || !r.Since("a").Equal(noon) || !r.Since("b").IsZero() {
		t.Errorf("it is held: %t, read since %s", held, r.Since("a"))
	}
	if endFirst(); !r.Since("a").Equal(noon.Add(time.Second)) || second.Err() != nil || first.Err() == nil {
		t.Errorf("one has ended: the other is read since %s, %v", r.Since("a"), second.Err())
	}
	r.GiveUp("a")
	release, held := r.Hold("a")
	if !held || !errors.Is(context.Cause(second), errYields) || !r.Since("a").IsZero() || !r.held("a") {
		t.Errorf("it is given up: held %t, %v", held, context.Cause(second))
	}
	again, held := r.Hold("a")
	if _, _, err := r.Begin(t.Context(), "a"); !held || !errors.Is(err, errYields) {
		t.Errorf("held a second time: %t, and another one begins: %v", held, err)
	}
	_, endOther := begin("b") // another etcd is another matter
	r.GiveUp("none")
	release()
	release()
	if _, _, err := r.Begin(t.Context(), "a"); !errors.Is(err, errYields) {
		t.Errorf("it is held still, and another one begins: %v", err)
	}
	again()
	endSecond()
	_, endThird := begin("a")
	endThird()
	endOther()
	if len(r.of) != 0 {
		t.Errorf("left: %v", r.of)
	}
}

// One whose time is over is not being read any more, though whoever reads it hangs.
func TestReadsAreOverWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReads()
		ctx, cancel := context.WithCancel(t.Context())
		if _, _, err := r.Begin(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if !r.Since("a").IsZero() || len(r.of) != 0 {
			t.Error("it is read for ever")
		}
	})
}

// A snapshot that is given up for a defragmentation, or not begun, counts as no failure: not of
// the stores, nor as one more after which the next has to wait longer.
func TestSnapshotThatYields(t *testing.T) {
	dir := t.TempDir()
	r := sharing(t, "a", NewTurns(1), "file://"+dir)
	reads := r.Reads
	full := func(etcd *clientv3.Client) error { return r.full(t.Context(), etcd, r.places, func() {}) }
	stuck := &sticking{asked: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- full(stuck.client()) }()
	select {
	case <-stuck.asked:
	case err := <-ended:
		t.Fatalf("etcd is not asked: %v", err)
	}
	reads.GiveUp("a")
	release, held := reads.Hold("a")
	if err := <-ended; !held || !errors.Is(err, errYields) {
		t.Errorf("held %t, and it says %v", held, err)
	}
	if err := full(still{}.client()); !errors.Is(err, errYields) {
		t.Errorf("another one is read: %v", err)
	}
	p := r.places[0]
	if state := p.state(); state.Error != "" || p.failed != 0 || fulls(t, dir, "a") != 0 {
		t.Errorf("%+v, %d failed, %d fulls", state, p.failed, fulls(t, dir, "a"))
	}
	if p.due(r.Now(), r.Schedule) {
		t.Error("the next one is due at once")
	}
	if later := r.Now().Add(2 * r.Schedule.Delta); !p.due(later, r.Schedule) {
		t.Error("the next one is not due soon")
	}
	release()
	if err := full(still{}.client()); err != nil || fulls(t, dir, "a") != 1 || len(reads.of) != 0 {
		t.Errorf("the next one: %v, %v", err, reads.of)
	}
}

// sticking is an etcd that sends a part of a snapshot, and no more until nobody asks for it.
type sticking struct {
	still
	asked chan struct{}
}

func (s *sticking) SnapshotWithVersion(ctx context.Context) (*clientv3.SnapshotResponse, error) {
	close(s.asked)
	return &clientv3.SnapshotResponse{Snapshot: io.NopCloser(io.MultiReader(strings.NewReader("some"), waiting{ctx}))}, nil
}

func (s *sticking) client() *clientv3.Client { return &clientv3.Client{KV: s, Maintenance: s} }

type waiting struct{ ctx context.Context }

func (w waiting) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}
