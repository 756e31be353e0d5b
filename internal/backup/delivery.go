package backup

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// defaultPatience is how long a store may take nothing of a snapshot before nobody else
// waits for it: more than a slow one takes for what is read ahead for it.
const defaultPatience = time.Minute

// delivery is a snapshot on its way to places.
type delivery struct {
	recorder *Recorder
	object   Object
	spool    *spool
	turn     *turn
	// asked is since when members of etcd count as those that it comes from.
	asked int
	// another lets the recorder begin another one, for other places.
	another func()

	mu sync.Mutex
	// going are the places that it is on its way to.
	going map[*place]*going
}

// going is the way to one place.
type going struct {
	giveUp context.CancelCauseFunc
	// silent: the place has taken nothing for too long.
	silent bool
}

// run fills the spool, while the places take what comes. When none of them does any more,
// etcd is not asked for the rest.
func (d *delivery) run(ctx context.Context, targets []target, fill func(context.Context) error) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	d.going = map[*place]*going{}
	ways := make([]context.Context, len(targets))
	for i, t := range targets {
		way, giveUp := context.WithCancelCause(ctx)
		defer giveUp(nil)
		ways[i], d.going[t.place] = way, &going{giveUp: giveUp}
		t.place.given()
		t.place.takes(true)
	}
	errs := make([]error, len(targets))
	var giving sync.WaitGroup
	for i, t := range targets {
		giving.Go(func() {
			if errs[i] = d.give(ways[i], t); d.ended(t.place) == 0 {
				stop()
			}
		})
	}
	err := fill(reading)
	// When the places give up, that is why it ends; else what became of the snapshot says
	// more than that they have not got it.
	own := err != nil && reading.Err() == nil
	d.spool.end(err)
	giving.Wait()
	if own {
		return err
	}
	return errors.Join(errs...)
}

// give stores the snapshot in one place, and removes there what is not to be kept: before
// that as well, since the place may be full of it.
func (d *delivery) give(ctx context.Context, t target) error {
	r := d.recorder
	// What cannot be removed, or put together, is told, and keeps no snapshot out.
	kept := errors.Join(r.retain(ctx, t.place), r.bundle(ctx, t.place))
	// How long that takes says nothing about the snapshot.
	dog := newWatchdog(r.Patience, func() { d.silent(t.place) })
	defer dog.goesOn()
	reader := func() io.Reader {
		return &taking{from: d.spool.reader(), dog: dog, goesOn: func(all int64) { d.goesOn(t.place, all) }}
	}
	err := t.place.put(ctx, d.object, reader)
	dog.goesOn()
	if err != nil {
		if ctx.Err() == nil && errors.Is(d.spool.cause(), errYields) {
			t.place.spared(err, r.Now())
		}
		return errors.Join(err, kept)
	}
	d.goesOn(t.place, readAhead+1)
	object := d.object
	object.Size = d.spool.length()
	t.place.stored(object, t.lags)
	r.delivered(object, d.asked)
	return errors.Join(kept, r.retain(ctx, t.place))
}

// delivered notes a snapshot that a place has. One that was late is not the newest.
func (r *Recorder) delivered(object Object, asked int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.KeyLost = false
	r.members.anew(asked)
	if from := r.renewed.Load(); from > 0 && object.Last >= from {
		r.doubtful.Store(false)
	}
	if r.state.Full == nil || r.state.Full.Last <= object.Last {
		r.state.Full = &object
	}
	// A clock that was ahead may have put the object's time into the future.
	if at := earlier(object.Time, r.Now()); at.After(r.state.RecoveryPoint) {
		r.state.RecoveryPoint, r.state.Revision = at, object.Last
	}
}

// silent notes that a place takes nothing, and goesOn that one does again.
func (d *delivery) silent(p *place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if way := d.going[p]; way != nil {
		way.silent = true
		p.hangs(way.giveUp)
		d.turn.heard(p.address, false)
		d.waitAside()
	}
}

// readAhead is how much of a snapshot is read for a store at most before it has taken any of
// it, in bytes: five parts of an upload to S3.
const readAhead = 32 << 20

// goesOn notes that a place has been read so much for in all.
func (d *delivery) goesOn(p *place, all int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if way := d.going[p]; way != nil && (way.silent || all > readAhead) {
		way.silent = false
		p.hangs(nil)
		d.turn.heard(p.address, true)
	}
}

// ended notes that a place has all or gets no more, and returns how many are left.
func (d *delivery) ended(p *place) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.going, p)
	p.takes(false)
	p.hangs(nil)
	d.turn.leave(p.address)
	d.waitAside()
	return len(d.going)
}

// waitAside lets others go first where only places are left that take nothing. If enough
// wait for one of them already it is given up. The caller holds the lock.
func (d *delivery) waitAside() {
	var silent []string
	for p, way := range d.going {
		if !way.silent {
			return
		}
		silent = append(silent, p.address)
	}
	if len(silent) == 0 {
		return
	}
	if d.turn.giveBack(silent) {
		d.another()
		return
	}
	for _, way := range d.going {
		way.giveUp(errSilent)
	}
}

// taking is what a place reads a snapshot by: it is waited for between two reads.
type taking struct {
	from   io.Reader
	dog    *watchdog
	goesOn func(all int64)
	all    int64
}

// Read implements io.Reader.
func (t *taking) Read(p []byte) (int, error) {
	t.goesOn(t.all)
	t.dog.goesOn()
	defer t.dog.waits()
	n, err := t.from.Read(p)
	t.all += int64(n)
	return n, err
}
