package backup

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Turns bounds how many recorders have a snapshot on the local disk at the same time. They
// know of each other, too, which stores take nothing: one that hangs is waited for by few.
type Turns struct {
	// taken holds one for each turn that somebody has.
	taken chan struct{}
	now   func() time.Time

	mu sync.Mutex
	// stores are those that snapshots are on their way to, and those that take nothing.
	stores map[string]*standing
}

// standing is how a store is doing.
type standing struct {
	// trying is how many snapshots are on their way to it, and late for how many of these
	// the turn was given back.
	trying, late int
	// silent: it took nothing for too long, and has not gone on since. One more snapshot
	// tries it at again, and the next after pause.
	silent bool
	again  time.Time
	pause  time.Duration
}

// The pauses between those who try a store that takes nothing, while others do.
const (
	firstTry = 2 * time.Minute
	lastTry  = 16 * time.Minute
)

// lateAtOnce is how many snapshots that have given their turn back may wait for one store:
// they lie on the local disk still.
const lateAtOnce = 2

// NewTurns makes so many turns.
func NewTurns(atOnce int) *Turns {
	return &Turns{taken: make(chan struct{}, atOnce), now: time.Now, stores: map[string]*standing{}}
}

// take waits for a turn: when a Berth takes over, all its clusters' snapshots are due at once.
func (t *Turns) take(ctx context.Context) (*turn, error) {
	select {
	case t.taken <- struct{}{}:
		return &turn{of: t}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// turn is that of one snapshot.
type turn struct {
	of *Turns
	// tried are the stores that the snapshot is on its way to, late those that it is late
	// for, and back says that the turn was given back. Guarded by of.mu.
	tried, late []string
	back        bool
}

// admit says whether the snapshot may go to a store, which it then does. One that takes
// nothing is tried by one snapshot at a time, and by one more ever more seldom: what is on
// its way when a store comes back may hang for good.
func (t *turn) admit(store string) bool {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	s := t.of.stores[store]
	if s == nil {
		s = &standing{}
		t.of.stores[store] = s
	}
	if now := t.of.now(); s.silent && s.trying > 0 {
		if now.Before(s.again) || s.late >= lateAtOnce {
			return false
		}
		s.pause = min(2*s.pause, lastTry)
		s.again = now.Add(s.pause)
	}
	s.trying++
	t.tried = append(t.tried, store)
	return true
}

// heard notes whether a store that the snapshot is on its way to takes any of it.
func (t *turn) heard(store string, takes bool) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if !slices.Contains(t.tried, store) {
		return
	}
	s := t.of.stores[store]
	if !takes && !s.silent {
		s.pause, s.again = firstTry, t.of.now().Add(firstTry)
	}
	s.silent = !takes
}

// isBack notes that a store was away and takes again what is written to it.
func (t *Turns) isBack(store string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stores[store]
	if s == nil {
		return
	}
	if s.silent = false; s.trying == 0 {
		delete(t.stores, store)
	}
}

// giveBack lets somebody else have the turn, while the snapshot waits for stores that take
// nothing. It says whether it may: it may not if enough wait for one of them.
func (t *turn) giveBack(stores []string) bool {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.back {
		return true
	}
	for _, store := range stores {
		if t.of.stores[store].late >= lateAtOnce {
			return false
		}
	}
	for _, store := range stores {
		t.of.stores[store].late++
	}
	t.late, t.back = slices.Clone(stores), true
	<-t.of.taken
	return true
}

// leave notes that the snapshot is not on its way to a store any more.
func (t *turn) leave(store string) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.leaveLocked(store)
}

func (t *turn) leaveLocked(store string) {
	at := slices.Index(t.tried, store)
	if at < 0 {
		return
	}
	t.tried = slices.Delete(t.tried, at, at+1)
	s := t.of.stores[store]
	s.trying--
	if at := slices.Index(t.late, store); at >= 0 {
		t.late = slices.Delete(t.late, at, at+1)
		s.late--
	}
	if s.trying == 0 && !s.silent {
		delete(t.of.stores, store)
	}
}

// end gives the turn back for good.
func (t *turn) end() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	for _, store := range slices.Clone(t.tried) {
		t.leaveLocked(store)
	}
	if !t.back {
		t.back = true
		<-t.of.taken
	}
}
