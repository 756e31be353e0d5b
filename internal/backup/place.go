package backup

import (
	"bytes"
	"context"
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

	mu    sync.Mutex
	store *Store
	full  time.Time
	err   string
	// lags counts the reasons why deltas do not continue the newest snapshot, and made
	// how many of them the last snapshot has made up for.
	lags, made int
	// tried is when the last snapshot for it was begun.
	tried time.Time
}

func (p *place) state() StoreState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return StoreState{URL: p.url, Full: p.full, Behind: p.lags > p.made, Error: p.err}
}

// due says whether a snapshot is due: in its time, and soon after a gap.
func (p *place) due(now time.Time, s Schedule) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	tried := now.Sub(p.tried)
	if p.full.After(now) && p.lags == p.made { // a clock was ahead: what is from the future never grows old
		return tried >= s.Full
	}
	old := p.full.IsZero() || p.lags > p.made || now.Sub(p.full) >= s.Full
	return old && tried >= min(2*s.Delta, s.Full)
}

// lag notes that a delta is missing.
func (p *place) lag() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lags++
}

// found notes a snapshot that was made earlier.
func (p *place) found(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = at
}

// begin notes an attempt, and returns what a snapshot begun now will make up for.
func (p *place) begin(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried = now
	return p.lags
}

// stored notes a snapshot.
func (p *place) stored(at time.Time, lags int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full, p.made = at, max(p.made, lags)
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
			defer func() { <-p.slots }()
			ended <- p.call(ctx, do)
		}()
		select {
		case err = <-ended:
		case <-ctx.Done():
			err = fmt.Errorf("the store %s does not answer: %w", p.url, ctx.Err())
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

// putTimeout bounds the write of a delta: the next one is due.
const putTimeout = 20 * time.Second

// toAll writes a delta to all stores at once, and says whether one has taken it.
func (r *Recorder) toAll(ctx context.Context, object Object, sealed []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	object.Size = int64(len(sealed))
	errs := make([]error, len(r.places))
	var writing sync.WaitGroup
	for i, p := range r.places {
		writing.Go(func() { errs[i] = p.put(ctx, object, func() io.Reader { return bytes.NewReader(sealed) }) })
	}
	writing.Wait()
	taken := false
	for _, err := range errs {
		taken = taken || err == nil
	}
	for i, err := range errs {
		if err == nil {
			continue
		}
		r.Log.Warn("delta for backup not stored", "cluster", r.ClusterID, "store", r.places[i].url, "error", err)
		if taken {
			r.places[i].lag()
		}
	}
	if !taken {
		r.OnChange()
	}
	return taken
}
