package backup

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// fullTimeout bounds a snapshot and its way to the stores.
const fullTimeout = 25 * time.Minute

// listTimeout bounds the look at a store before a snapshot, and retainTimeout what is removed
// from it.
const (
	listTimeout   = 20 * time.Second
	retainTimeout = 2 * time.Minute
)

// target is a place that a snapshot goes to, and what that will make up for.
type target struct {
	place *place
	lags  int
	// last is the newest object there, and reached the revision that its chain leads to.
	last    time.Time
	reached int64
	// size is that of the newest snapshot there, in bytes.
	size int64
}

// expected is how much room there must be for a snapshot before etcd is asked for one, of
// which a store has one of such a size. An etcd may have become smaller.
func expected(size int64) int64 { return size / 2 }

// gather is how much of a snapshot is written to the spool at a time, in bytes: the pages of a
// file cost half of what they do in pieces of 64 KiB.
const gather = 256 << 10

// errNoStore says that there is nowhere to put a snapshot.
var errNoStore = errors.New("no store answers and has room")

// full makes a snapshot and gives it to the places. It lies sealed on the local disk
// meanwhile: etcd keeps what a snapshot shows for as long as somebody reads it, which
// must not depend on a store. A store that keeps up has all of it when etcd has sent the
// last of it. When only places are left that take nothing, another snapshot may be begun
// for others.
func (r *Recorder) full(ctx context.Context, client *clientv3.Client, places []*place, another func()) error {
	found := r.targets(ctx, places, r.Now()) // a place that hangs here takes no turn
	if len(found) == 0 {
		return errNoStore
	}
	turn, err := r.Turns.take(ctx)
	if err != nil {
		return err
	}
	defer turn.end()
	ctx, cancel := context.WithTimeout(ctx, fullTimeout)
	defer cancel()
	started := r.Now()
	targets := admitted(turn, found, started)
	if len(targets) == 0 {
		return errNoStore
	}
	begun, size := r.after(targets, started)
	asked := r.members.asked()
	revision, err := r.askForFull(ctx, client)
	if err != nil {
		return err
	}
	spool, err := newSpool(r.Scratch, expected(size))
	if err != nil {
		return err
	}
	defer spool.close()
	way := &delivery{recorder: r, object: fullObject(revision, begun), spool: spool, turn: turn, asked: asked, another: another}
	if err := way.run(ctx, targets, func(ctx context.Context) error { return r.spool(ctx, client, revision, spool) }); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.FullTook = r.Now().Sub(started)
	return nil
}

// admitted are the targets that a snapshot begun now goes to: not those that take nothing
// while another one tries them.
func admitted(turn *turn, found []target, now time.Time) []target {
	var targets []target
	for _, t := range found {
		t.lags = t.place.begin(now)
		if !turn.admit(t.place.address) {
			t.place.crowded()
			continue
		}
		targets = append(targets, t)
	}
	return targets
}

// after is the time that a snapshot for targets is given which is begun now, and how large
// the largest of their newest ones is.
func (r *Recorder) after(targets []target, now time.Time) (begun time.Time, size int64) {
	begun = now
	for _, t := range targets {
		size = max(size, t.size)
		r.found(t.reached)
		// A clock that was ahead must not make an older snapshot the newest. Names have
		// whole seconds, and nothing takes the place of another.
		if !begun.Truncate(time.Second).After(t.last) {
			begun = t.last.Add(time.Second)
		}
	}
	return begun, size
}

// targets are the places that answer and have room: etcd is not asked for what nobody could
// keep.
func (r *Recorder) targets(ctx context.Context, places []*place, begun time.Time) []target {
	all := make([]*target, len(places))
	var looking sync.WaitGroup
	for i, p := range places {
		looking.Go(func() {
			if t, err := r.target(ctx, p, begun); err == nil {
				all[i] = t
			}
		})
	}
	looking.Wait()
	var answering []target
	for _, t := range all {
		if t != nil {
			answering = append(answering, *t)
		}
	}
	return answering
}

// target looks at a place; why it is none shows in the place's state.
func (r *Recorder) target(ctx context.Context, p *place, begun time.Time) (*target, error) {
	looking, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	t := &target{place: p, lags: p.begin(begun)}
	objects, err := p.list(looking)
	if err != nil {
		return nil, err
	}
	t.reached, _ = reach(objects)
	if full := newestFull(objects); full != nil {
		t.size = full.Size
	}
	if len(objects) > 0 {
		t.last = objects[len(objects)-1].Time
	}
	room := func(s *Store) error { return s.hasRoom(expected(t.size)) }
	if p.use(looking, room) == nil {
		return t, nil
	}
	if err := r.retain(ctx, p); err != nil {
		return nil, err
	}
	again, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	return t, p.use(again, room)
}

// retain removes in a place what is not to be kept.
func (r *Recorder) retain(ctx context.Context, p *place) error {
	ctx, cancel := context.WithTimeout(ctx, retainTimeout)
	defer cancel()
	return p.use(ctx, func(s *Store) error { return s.retain(ctx, r.Schedule.Keep, r.Now()) })
}

// found notes how far a store has come.
func (r *Recorder) found(revision int64) {
	for {
		known := r.recorded.Load()
		if revision <= known || r.recorded.CompareAndSwap(known, revision) {
			return
		}
	}
}

// askForFull returns a revision that a snapshot has at least reached which is begun now. An
// etcd that is behind what was recorded has lost data.
func (r *Recorder) askForFull(ctx context.Context, client *clientv3.Client) (int64, error) {
	revision, err := r.revision(ctx, client)
	if err != nil {
		return 0, err
	}
	if err := r.check(ctx, client, revision, max(r.State().Revision, r.recorded.Load())); err != nil {
		return 0, err
	}
	return revision, nil
}

// spool writes a sealed snapshot. The error is errYields if it was given up for those who
// defragment etcd, or not begun.
func (r *Recorder) spool(ctx context.Context, client *clientv3.Client, revision int64, to io.Writer) error {
	reading, end, err := r.Reads.Begin(ctx, r.ClusterID)
	if err != nil {
		return err
	}
	defer end()
	gathered := bufio.NewWriterSize(to, gather)
	if err := r.readInto(reading, client, revision, gathered); err != nil {
		if cause := context.Cause(reading); errors.Is(cause, errYields) {
			return cause
		}
		return err
	}
	return gathered.Flush()
}
