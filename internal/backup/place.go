package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// place is one of a recorder's stores: it is opened when it is needed, and again after
// it has failed.
type place struct {
	address, url, cluster string
	slots                 chan struct{}
	onEmptied             func()

	mu    sync.Mutex
	store *Store
	full  time.Time
	err   string
	// lags counts the reasons why deltas do not continue the newest snapshot, and made
	// how many of them the last snapshot has made up for.
	lags, made int
	// tried is when the last snapshot for it was begun, and failed how many that etcd was
	// asked for it has not taken since it took one. refuses: it did not take the last delta;
	// answers: it was looked at since, and still has what it is to have.
	tried            time.Time
	failed           int
	refuses, answers bool
	// newest is the name of the newest snapshot that is known to be there; empty if none is.
	// gone: there was one, which was found to be missing.
	newest string
	gone   bool
	// busy: a snapshot is on its way to it, and giveUp ends that; nil unless it takes nothing.
	busy   bool
	giveUp context.CancelCauseFunc
}

func (p *place) state() StoreState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return StoreState{URL: p.url, Full: p.full, Behind: p.lags > p.made, Emptied: p.gone, Error: p.err}
}

// due says whether a snapshot is due: in its time, and soon after a gap.
func (p *place) due(now time.Time, s Schedule) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy {
		return false
	}
	tried := now.Sub(p.tried)
	if p.full.After(now) && p.lags == p.made { // a clock was ahead: what is from the future never grows old
		return tried >= s.Full
	}
	old := p.full.IsZero() || p.lags > p.made || now.Sub(p.full) >= s.Full
	return old && tried >= p.pause(s)
}

// pause is how long after an attempt the next one begins: each reads all that etcd has, so
// that it is longer after each that failed. The caller holds the lock.
func (p *place) pause(s Schedule) time.Duration {
	pause := 2 * s.Delta
	for range max(p.failed-1, 0) {
		if pause *= 2; pause >= s.Full {
			break
		}
	}
	return min(pause, s.Full)
}

// lag notes that a delta is missing.
func (p *place) lag() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lags++
}

// found notes a snapshot that was made earlier.
func (p *place) found(full Object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full, p.newest, p.gone = full.Time, full.Name, false
}

// begin notes an attempt, and returns what a snapshot begun now will make up for.
func (p *place) begin(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried = now
	return p.lags
}

// given notes that etcd is asked for a snapshot, which has failed until it has been stored.
func (p *place) given() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed++
}

// spared notes that it has not got a snapshot that was given up for another's sake, which
// says nothing about the place. The pause before the next one begins now.
func (p *place) spared(err error, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed, p.tried = max(p.failed-1, 0), now
	if p.err == err.Error() {
		p.err = ""
	}
}

// takes notes whether a snapshot is on its way to it.
func (p *place) takes(busy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = busy
}

// crowded notes that it gets no snapshot, since it takes nothing of another cluster's.
func (p *place) crowded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = fmt.Sprintf("the store %s does not answer: it has taken nothing of another cluster's backup for too long", p.url)
}

// continues says whether its deltas continue a snapshot that it has.
func (p *place) continues() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lags == p.made && !p.full.IsZero()
}

// refusing says whether it did not take what it was given last, nor answered since.
func (p *place) refusing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refuses && !p.answers
}

// answered notes that it was looked at, and has what it is to have. Whether it takes deltas again
// is not known by that.
func (p *place) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = true
}

// hangs notes that it takes nothing of the snapshot that is on its way, and how that is
// given up; nil if it goes on.
func (p *place) hangs(giveUp context.CancelCauseFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveUp = giveUp
}

// errBack says that a store was away, and is back: what it was given before has come to
// nothing.
var errBack = errors.New("it was away, and is given another snapshot")

// tookDelta notes whether it took a delta, and says whether it does so again. One that does
// may take snapshots again: one that hangs is begun anew.
func (p *place) tookDelta(took bool) (back bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	back = took && p.refuses
	if p.refuses, p.answers = !took, false; !back {
		return false
	}
	p.failed = 0
	if p.giveUp != nil {
		p.giveUp(errBack)
	}
	return true
}

// stored notes a snapshot.
func (p *place) stored(full Object, lags int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full, p.newest, p.gone, p.made, p.failed = full.Time, full.Name, false, max(p.made, lags), 0
}

// errEmptied says that a store has lost the snapshot that its deltas continue: it was
// emptied, or is not mounted and its mount point was left.
var errEmptied = errors.New("the newest snapshot is not there any more: the store was emptied, or is not mounted")

// holds looks whether the newest snapshot is still there. Without it a delta is of no use,
// and the next snapshot is due.
func (p *place) holds(ctx context.Context) error {
	p.mu.Lock()
	name := p.newest
	p.mu.Unlock()
	if name == "" {
		return nil
	}
	err := p.use(ctx, func(s *Store) error { return s.holds(ctx, name) })
	if err == nil {
		p.answered()
	}
	if errors.Is(err, errEmptied) && p.emptied(name) {
		p.onEmptied()
	}
	return err
}

// emptied notes that a snapshot is gone, and says whether it was the newest still.
func (p *place) emptied(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newest != name {
		return false
	}
	p.full, p.newest, p.gone = time.Time{}, "", true
	p.lags++
	return true
}

// inFlight is how many calls of a store may run: one for a delta and one for a snapshot.
// A directory whose server is away blocks them for as long as that lasts.
const inFlight = 2

// use calls do with the open store, and notes whether it went well. It does not wait for
// longer than ctx says, even for what does not heed it.
func (p *place) use(ctx context.Context, do func(*Store) error) error {
	err := fmt.Errorf("the store %s does not answer: earlier calls have not returned", p.url)
	select {
	case p.slots <- struct{}{}:
		ended := make(chan error, 1)
		go func() {
			err := p.call(ctx, do)
			<-p.slots // before the answer: whoever gets it may call again at once
			ended <- err
		}()
		select {
		case err = <-ended:
		case <-ctx.Done():
			err = fmt.Errorf("the store %s does not answer: %w", p.url, context.Cause(ctx))
		}
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = ""
	if err != nil {
		p.err = err.Error()
	}
	return err
}

// call opens the store if need be.
func (p *place) call(ctx context.Context, do func(*Store) error) error {
	p.mu.Lock()
	store := p.store
	p.mu.Unlock()
	if store == nil {
		opened, err := OpenStore(ctx, p.address, p.cluster)
		if err != nil {
			return err
		}
		store = p.keep(opened)
	}
	return do(store)
}

// keep remembers an open store, unless somebody else has opened it meanwhile.
func (p *place) keep(opened *Store) *Store {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.store != nil {
		opened.Close()
		return p.store
	}
	p.store = opened
	return opened
}

// list does not share what it returns with the call, which may end later.
func (p *place) list(ctx context.Context) ([]Object, error) {
	found := make(chan []Object, 1)
	err := p.use(ctx, func(s *Store) error {
		objects, err := s.List(ctx)
		found <- objects
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-found, nil
}

// listing is what a store has, or why that is not known.
type listing struct {
	objects []Object
	// foreign says that the newest snapshot is sealed with another key.
	foreign bool
	err     error
}

// lists asks all stores at once what they have. One that hangs holds up the others for
// listTimeout, and no longer.
func (r *Recorder) lists(ctx context.Context) []listing {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	all := make([]listing, len(r.places))
	var looking sync.WaitGroup
	for i, p := range r.places {
		looking.Go(func() {
			l := &all[i]
			if l.objects, l.err = p.list(ctx); l.err != nil {
				return
			}
			if full := newestFull(l.objects); full != nil {
				l.foreign, l.err = p.foreign(ctx, full.Name, r.Key)
			}
		})
	}
	looking.Wait()
	return all
}

// foreign says whether an object is sealed with another key. What is damaged is not.
func (p *place) foreign(ctx context.Context, name, key string) (bool, error) {
	found := make(chan bool, 1)
	err := p.use(ctx, func(s *Store) error {
		foreign, err := s.foreign(ctx, name, key)
		found <- foreign
		return err
	})
	if err != nil {
		return false, err
	}
	return <-found, nil
}

func (p *place) put(ctx context.Context, object Object, open func() io.Reader) error {
	return p.use(ctx, func(s *Store) error {
		if err := s.hasRoom(object.Size); err != nil {
			return err
		}
		return s.put(ctx, object.Name, open())
	})
}

// bundle stores the bundle in a place that does not have it yet.
func (r *Recorder) bundle(ctx context.Context, p *place) error {
	if r.Bundle == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	return p.use(ctx, func(s *Store) error { return s.putBundle(ctx, *r.Bundle, r.Now()) })
}

func (p *place) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.store != nil {
		p.store.Close()
		p.store = nil
	}
}
