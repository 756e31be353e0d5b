package backup

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sort"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/encoding/protodelim"
)

// maxBuffer is how much is kept while no store takes anything, in bytes, and half of what is
// beside something on its way to one that may take it. After that a snapshot is cheaper.
const maxBuffer = 32 << 20

// outbox holds what etcd said and places have yet to take. Each takes it at its own pace: one
// that hangs is waited for by no other, nor by whoever reads etcd.
type outbox struct {
	mu sync.Mutex
	// events are those that a place may still be given; size is how large they are, in bytes.
	events []*clientv3.Event
	size   int
	// seen is the last revision, and at when it was received.
	seen int64
	at   time.Time
	// flushed is the last revision that none is kept for: a place has taken it, none took it for
	// too long, or it was before all that is recorded. Zero before the first look.
	flushed int64
	// due is what is to be written now, and fresh how much has come since, in bytes.
	due   mark
	fresh int
	// epoch counts how often it was begun anew: what was on its way before says nothing.
	epoch int
	ways  []*way
	// latest is what places were given last, which others are given too.
	latest *sealing
	// moved is closed when something has ended, and shut says that nothing begins any more.
	moved chan struct{}
	shut  bool
}

// mark says up to which revision is to be written, as what there was up to a time.
type mark struct {
	number int
	last   int64
	at     time.Time
}

// way is how far a place has come.
type way struct {
	place *place
	// from is the last revision that it has, or that only a snapshot makes up for.
	from int64
	// tried is the number of the last mark that it was given, and carries what is on its way.
	// failed: it has not got what it was given last, whether it refuses or not.
	tried   int
	failed  bool
	carries *parcel
	giveUp  context.CancelFunc
}

// parcel is a delta on its way to a place. One without events has the place looked at.
type parcel struct {
	first, last int64
	at          time.Time
	epoch       int
	sealing     *sealing
}

// sealing is a delta that is sealed once, whoever is given it.
type sealing struct {
	object Object
	events []*clientv3.Event
	once   sync.Once
	sealed []byte
	err    error
}

func newOutbox(places []*place) *outbox {
	o := &outbox{moved: make(chan struct{})}
	for _, p := range places {
		o.ways = append(o.ways, &way{place: p})
	}
	return o
}

// add takes in events; all of a revision come together.
func (o *outbox) add(events []*clientv3.Event, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, event := range events {
		o.events = append(o.events, event)
		o.size += sizeOf(event)
		o.fresh += sizeOf(event)
		o.seen = event.Kv.ModRevision
	}
	o.at = at
}

func sizeOf(event *clientv3.Event) int { return len(event.Kv.Key) + len(event.Kv.Value) }

// begin forgets everything: what comes is after a revision, which every place has or lags for.
func (o *outbox) begin(after int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events, o.size, o.fresh, o.seen, o.at, o.flushed, o.latest = nil, 0, 0, after, time.Time{}, after, nil
	o.due.last = after
	o.epoch++
	for _, w := range o.ways {
		w.from, w.tried = after, o.due.number
	}
}

// spill gives up what no place has, if that is more than is kept: every one needs a snapshot
// then. It says whether it was.
func (o *outbox) spill() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.excess() {
		return false
	}
	o.flushed = o.seen
	for _, w := range o.ways {
		w.place.lag()
		w.from = o.seen
	}
	o.trim()
	return true
}

// reach is how far it has come: the last revision that was seen, and that a place has.
func (o *outbox) reach() (seen, flushed int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen, o.flushed
}

// received is when the last events came, and how much has come since something was due.
func (o *outbox) received() (at time.Time, fresh int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at, o.fresh
}

// excess says whether more is held that no place has than is kept. Of what is on its way to a
// place that may take it, twice as much is; and one that may, and waits, is given all there is. The
// caller holds the lock.
func (o *outbox) excess() bool {
	if o.size <= maxBuffer {
		return false
	}
	kept := maxBuffer
	for _, w := range o.ways {
		switch {
		case w.place.refusing(), w.carries == nil && w.failed:
		case w.carries == nil:
			return false
		default:
			kept = 2 * maxBuffer
		}
	}
	return o.held(o.flushed, o.seen) > kept
}

// hang says whether nothing is on its way but to places that did not take what they were
// given last. The caller holds the lock.
func (o *outbox) hang() bool {
	for _, w := range o.ways {
		if w.carries != nil && !w.place.refusing() {
			return false
		}
	}
	return true
}

// mark has all that was seen be written, as what there was up to a time. It returns what is to be
// given now, to all at once: one that takes it soon leaves no other behind that was not given it.
func (o *outbox) mark(at time.Time) map[*way]*parcel {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due = mark{o.due.number + 1, o.seen, at}
	o.fresh = 0
	given := map[*way]*parcel{}
	for _, w := range o.ways {
		if w.carries != nil {
			continue
		}
		if p := o.next(w); p != nil {
			given[w] = p
		}
	}
	return given
}

// next is what a place is given to which nothing is on its way; nil if it was given all that is
// due. The caller holds the lock.
func (o *outbox) next(w *way) *parcel {
	if w.tried == o.due.number || o.shut {
		return nil
	}
	w.tried = o.due.number
	last := max(o.due.last, w.from)
	p := &parcel{first: w.from + 1, last: last, at: o.due.at, epoch: o.epoch}
	if events := o.between(w.from, last); len(events) > 0 {
		object := deltaObject(p.first, p.last, p.at)
		if o.latest == nil || o.latest.object.Name != object.Name {
			o.latest = &sealing{object: object, events: events}
		}
		p.sealing = o.latest
	}
	w.carries = p
	return p
}

// carries notes how what is on its way to a place is given up.
func (o *outbox) carries(w *way, giveUp context.CancelFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w.giveUp = giveUp; o.shut {
		giveUp()
	}
}

// outcome is what became of a parcel.
type outcome struct {
	// claims: the place has all up to the parcel's end, from a snapshot on. nobody: no place has
	// taken what was due, and none is being given it.
	claims, nobody bool
	// next is what the place is given now; nil if nothing is.
	next *parcel
}

// ended notes whether a place took a parcel. What it missed while another has it is made up
// for by a snapshot.
func (o *outbox) ended(w *way, p *parcel, took bool) outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	said := outcome{}
	w.carries, w.failed = nil, !took
	if p.epoch == o.epoch {
		if took {
			w.from = max(w.from, p.last)
			o.flushed = max(o.flushed, w.from)
			said.claims = w.place.continues()
			said.next = o.next(w) // what came meanwhile it has not missed
		}
		o.forgo()
		o.trim()
	}
	if said.next == nil {
		said.next = o.next(w)
	}
	said.nobody = !took && !o.busy() && o.flushed < o.due.last
	if !o.busy() {
		o.latest = nil
	}
	close(o.moved)
	o.moved = make(chan struct{})
	return said
}

// forgo has places lag that have missed what another has taken, or for which too much waits of
// that. The caller holds the lock.
func (o *outbox) forgo() {
	for _, w := range o.ways {
		if w.from >= o.flushed {
			continue
		}
		if w.carries != nil && o.held(max(w.from, w.carries.last), o.flushed) <= deltaSize {
			continue
		}
		w.place.lag()
		w.from = o.flushed
	}
}

// trim lets go of what no place will be given. The caller holds the lock.
func (o *outbox) trim() {
	least := o.flushed
	for _, w := range o.ways {
		if w.carries != nil {
			least = min(least, max(w.from, w.carries.last))
		}
	}
	if kept := o.between(least, o.seen); len(kept) < len(o.events) {
		o.events = append([]*clientv3.Event(nil), kept...)
		o.size = 0
		for _, event := range kept {
			o.size += sizeOf(event)
		}
	}
}

// between are the events after a revision, up to another. The caller holds the lock.
func (o *outbox) between(after, last int64) []*clientv3.Event {
	from := sort.Search(len(o.events), func(i int) bool { return o.events[i].Kv.ModRevision > after })
	to := sort.Search(len(o.events), func(i int) bool { return o.events[i].Kv.ModRevision > last })
	return o.events[from:max(from, to)]
}

// held is how large the events are after a revision, up to another. The caller holds the lock.
func (o *outbox) held(after, last int64) int {
	size := 0
	for _, event := range o.between(after, last) {
		size += sizeOf(event)
	}
	return size
}

// busy says whether anything is on its way. The caller holds the lock.
func (o *outbox) busy() bool {
	for _, w := range o.ways {
		if w.carries != nil {
			return true
		}
	}
	return false
}

// settled waits until a place has taken what is due, or it is on its way to none but to those
// that did not take what they were given last.
func (o *outbox) settled(ctx context.Context) {
	o.until(ctx, func() bool { return o.flushed >= o.due.last || o.hang() })
}

// written waits until a place has taken what is due, or it is on its way to none.
func (o *outbox) written(ctx context.Context) {
	o.until(ctx, func() bool { return o.flushed >= o.due.last || !o.busy() })
}

// quiet waits until nothing is on its way to places but to those that did not take what they
// were given last.
func (o *outbox) quiet(ctx context.Context) { o.until(ctx, o.hang) }

// until waits for something that is looked at with the lock held.
func (o *outbox) until(ctx context.Context, holds func() bool) {
	for ctx.Err() == nil {
		o.mu.Lock()
		done, moved := holds(), o.moved
		o.mu.Unlock()
		if done {
			return
		}
		select {
		case <-ctx.Done():
		case <-moved:
		}
	}
}

// end gives up what is on its way, and lets nothing begin.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut = true
	for _, w := range o.ways {
		if w.carries != nil && w.giveUp != nil {
			w.giveUp()
		}
	}
}

// unwritten are the events that no place has.
func (o *outbox) unwritten() []*clientv3.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.between(o.flushed, o.seen)
}

// bytes are what a delta holds, sealed.
func (s *sealing) bytes(key string) ([]byte, error) {
	s.once.Do(func() { s.sealed, s.err = sealEvents(s.events, key) })
	return s.sealed, s.err
}

// sealEvents encodes events, each with its length before it, compresses and encrypts them.
func sealEvents(events []*clientv3.Event, key string) ([]byte, error) {
	recipient, err := recipientOf(key)
	if err != nil {
		return nil, err
	}
	plain, encoding := io.Pipe()
	go func() {
		for _, event := range events {
			if _, err := protodelim.MarshalTo(encoding, event); err != nil {
				encoding.CloseWithError(fmt.Errorf("encode a delta: %w", err))
				return
			}
		}
		_ = encoding.Close() // never fails
	}()
	defer func() { _ = plain.Close() }()
	var sealed bytes.Buffer
	if err := seal(&sealed, plain, recipient); err != nil {
		return nil, err
	}
	return sealed.Bytes(), nil
}
