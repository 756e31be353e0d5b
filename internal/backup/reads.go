package backup

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Reads are the snapshots that are being read from etcds, by the clusters' IDs. etcd keeps a
// transaction open while one is, and a member that is defragmented waits for all of those with
// its locks held (bbolt, DB.Close): it answers nobody until whoever reads has come to an end. So
// the recorders and whoever defragments keep out of each other's way here: both are in the
// process that leads.
type Reads struct {
	now func() time.Time

	mu sync.Mutex
	of map[string]*reads
}

// reads are those of one etcd.
type reads struct {
	// open has when each began, and what ends it.
	open map[*read]bool
	// held is how many keep others from beginning.
	held int
}

type read struct {
	since  time.Time
	giveUp context.CancelCauseFunc
}

// NewReads knows of none.
func NewReads() *Reads { return &Reads{now: time.Now, of: map[string]*reads{}} }

// errYields says that a snapshot is made later, since etcd is defragmented.
var errYields = errors.New("etcd is defragmented: the snapshot is made after that")

// Begin notes that a snapshot is read from now on, until end is called or the context is done
// that it is read with: that is how it is given up. It may not be read while somebody holds
// them off.
func (r *Reads) Begin(ctx context.Context, id string) (reading context.Context, end func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.one(id)
	if of.held > 0 {
		return nil, nil, errYields
	}
	reading, giveUp := context.WithCancelCause(ctx)
	one := &read{r.now(), giveUp}
	of.open[one] = true
	left := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(of.open, one)
		r.tidy(id)
	}
	// Who is given up may take longer to hear of it, as where the local disk hangs. etcd does not.
	stop := context.AfterFunc(reading, left)
	return reading, func() {
		stop()
		left()
		giveUp(nil)
	}, nil
}

// Since says when the oldest that is being read from an etcd began; zero if none is.
func (r *Reads) Since(id string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := time.Time{}
	if of := r.of[id]; of != nil {
		for one := range of.open {
			if oldest.IsZero() || one.since.Before(oldest) {
				oldest = one.since
			}
		}
	}
	return oldest
}

// GiveUp ends what is being read from an etcd: its recorder begins anew later. etcd hears of it
// at once.
func (r *Reads) GiveUp(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.of[id]
	if of == nil {
		return
	}
	for one := range of.open {
		one.giveUp(errYields)
	}
	clear(of.open)
	r.tidy(id)
}

// Hold keeps an etcd from being read until it is released. It does not hold while one is.
func (r *Reads) Hold(id string) (release func(), held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.one(id)
	if len(of.open) > 0 {
		return nil, false
	}
	of.held++
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		of.held--
		r.tidy(id)
	}), true
}

// held says whether somebody keeps an etcd from being read.
func (r *Reads) held(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[id] != nil && r.of[id].held > 0
}

// one is what is known of an etcd. The caller holds the lock.
func (r *Reads) one(id string) *reads {
	if r.of[id] == nil {
		r.of[id] = &reads{open: map[*read]bool{}}
	}
	return r.of[id]
}

// tidy forgets an etcd of which nothing is known. The caller holds the lock.
func (r *Reads) tidy(id string) {
	if of := r.of[id]; of != nil && len(of.open) == 0 && of.held == 0 {
		delete(r.of, id)
	}
}
