package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// fullTimeout bounds a snapshot and its way to the stores.
const fullTimeout = 25 * time.Minute

// listTimeout bounds the look at a store before a snapshot.
const listTimeout = 20 * time.Second

// target is a place that a snapshot goes to, and what that will make up for.
type target struct {
	place *place
	lags  int
	// last is the newest object there, and reached the revision that its chain leads to.
	last    time.Time
	reached int64
}

// full makes a snapshot and gives it to the places. It lies sealed on the local disk
// meanwhile: etcd keeps what a snapshot shows for as long as somebody reads it, which
// must not depend on a store.
func (r *Recorder) full(ctx context.Context, client *clientv3.Client, places []*place) error {
	ctx, cancel := context.WithTimeout(ctx, fullTimeout)
	defer cancel()
	started := r.Now()
	begun := started
	targets := r.targets(ctx, places, begun)
	if len(targets) == 0 {
		return errors.New("no store answers")
	}
	for _, t := range targets {
		r.found(t.reached)
		// A clock that was ahead must not make an older snapshot the newest.
		if !begun.After(t.last) {
			begun = t.last.Add(time.Second)
		}
	}
	spool, err := os.CreateTemp(r.Scratch, "backup-*.zst.age")
	if err != nil {
		return fmt.Errorf("make room for a snapshot: %w", err)
	}
	defer spool.Close()
	// Nobody else needs its name, and a killed process leaves nothing.
	if err := os.Remove(spool.Name()); err != nil {
		return fmt.Errorf("make room for a snapshot: %w", err)
	}
	revision, err := r.spool(ctx, client, spool)
	if err != nil {
		return err
	}
	object := fullObject(revision, begun)
	if object.Size, err = spool.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("measure the snapshot: %w", err)
	}
	errs := make([]error, len(targets))
	var giving sync.WaitGroup
	for i, t := range targets {
		giving.Go(func() { errs[i] = r.give(ctx, t, object, spool) })
	}
	giving.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.FullTook = r.Now().Sub(started)
	return nil
}

// targets are the places that answer: etcd is not asked for what nobody could keep.
func (r *Recorder) targets(ctx context.Context, places []*place, begun time.Time) []target {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	all := make([]*target, len(places))
	var looking sync.WaitGroup
	for i, p := range places {
		looking.Go(func() {
			lags := p.begin(begun)
			objects, err := p.list(ctx)
			if err != nil {
				return
			}
			t := target{place: p, lags: lags}
			t.reached, _ = reach(objects)
			if len(objects) > 0 {
				t.last = objects[len(objects)-1].Time
			}
			all[i] = &t
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

// found notes how far a store has come.
func (r *Recorder) found(revision int64) {
	for {
		known := r.recorded.Load()
		if revision <= known || r.recorded.CompareAndSwap(known, revision) {
			return
		}
	}
}

// spool writes a sealed snapshot and returns a revision that it has at least reached.
func (r *Recorder) spool(ctx context.Context, client *clientv3.Client, to io.Writer) (int64, error) {
	recipient, err := recipientOf(r.Key)
	if err != nil {
		return 0, err
	}
	revision, err := currentRevision(ctx, client)
	if err != nil {
		return 0, err
	}
	if recorded := max(r.State().Revision, r.recorded.Load()); revision < recorded {
		return 0, lost(revision, recorded)
	}
	stream, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask etcd for a snapshot: %w", err)
	}
	defer stream.Snapshot.Close()
	sum := &trailing{hash: sha256.New()}
	if err := seal(to, io.TeeReader(stream.Snapshot, sum), recipient); err != nil {
		return 0, err
	}
	return revision, sum.verify()
}

// give stores a snapshot in one place, and removes there what is not to be kept: before
// that as well, since the place may be full of it.
func (r *Recorder) give(ctx context.Context, t target, object Object, spool io.ReaderAt) error {
	retain := func() error {
		return t.place.use(ctx, func(s *Store) error { return s.retain(ctx, r.Schedule.Keep, r.Now()) })
	}
	if err := errors.Join(retain(), r.bundle(ctx, t.place)); err != nil {
		return err
	}
	err := t.place.put(ctx, object, func() io.Reader { return io.NewSectionReader(spool, 0, object.Size) })
	if err != nil {
		return err
	}
	t.place.stored(object.Time, t.lags)
	r.mu.Lock()
	r.state.Full = &object
	// A clock that was ahead may have put the object's time into the future.
	if at := earlier(object.Time, r.Now()); at.After(r.state.RecoveryPoint) {
		r.state.RecoveryPoint, r.state.Revision = at, object.Last
	}
	r.mu.Unlock()
	return retain()
}

// trailing checks the hash that etcd appends to a snapshot, as it passes by.
type trailing struct {
	hash hash.Hash
	tail []byte
}

// Write implements io.Writer. It holds back what may be the hash.
func (t *trailing) Write(p []byte) (int, error) {
	t.tail = append(t.tail, p...)
	if surplus := len(t.tail) - sha256.Size; surplus > 0 {
		t.hash.Write(t.tail[:surplus])
		t.tail = append(t.tail[:0], t.tail[surplus:]...)
	}
	return len(p), nil
}

func (t *trailing) verify() error {
	if !bytes.Equal(t.tail, t.hash.Sum(nil)) {
		return errors.New("the snapshot does not have the hash that it ends with: it was cut off or changed on its way")
	}
	return nil
}
