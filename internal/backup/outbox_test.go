package backup

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// posted is an outbox of two places that have a snapshot.
type posted struct {
	*outbox
	t    *testing.T
	noon time.Time
	// under are the parcels that are on their way to each.
	under [2]*parcel
}

func newPosted(t *testing.T) *posted {
	t.Helper()
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	places := []*place{{full: noon}, {full: noon}}
	p := &posted{outbox: newOutbox(places), t: t, noon: noon}
	p.begin(10)
	return p
}

// writes has revisions be written up to one, each of so many bytes, and be due.
func (p *posted) writes(last int64, size int) {
	for revision := p.seen + 1; revision <= last; revision++ {
		p.add([]*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("a"), Value: make([]byte, size-1), ModRevision: revision}}}, p.noon)
	}
	given := p.mark(p.noon)
	for i, w := range p.ways {
		if next := given[w]; next != nil {
			p.under[i] = next
		}
	}
}

// ends has what is on its way to a place end, and says what became of it.
func (p *posted) ends(place int, took bool) outcome {
	said := p.ended(p.ways[place], p.under[place], took)
	p.under[place] = said.next
	return said
}

// is compares what is on its way with what is to be, and which places lag.
func (p *posted) is(why, want string) {
	p.t.Helper()
	var found []string
	for i, w := range p.ways {
		at := "idle"
		if u := p.under[i]; u != nil {
			at = "a look"
			if u.sealing != nil {
				at = fmt.Sprintf("%d-%d", u.first, u.last)
			}
		}
		if !w.place.continues() {
			at += " lags"
		}
		found = append(found, at)
	}
	if got := strings.Join(found, ", "); got != want {
		p.t.Errorf("%s: %s, want %s", why, got, want)
	}
}

// A place that is slow gets what came meanwhile as one delta, and the other one each in its time.
func TestOutboxWaitsForNoOther(t *testing.T) {
	p := newPosted(t)
	p.writes(12, 10)
	p.is("both are given the same", "11-12, 11-12")
	if p.under[0].sealing != p.under[1].sealing {
		t.Error("it is sealed twice")
	}
	if said := p.ends(1, true); !said.claims || said.nobody {
		t.Errorf("one has it: %+v", said)
	}
	p.writes(13, 10)
	p.is("the other is not waited for", "11-12, 13-13")
	p.ends(1, true)
	p.writes(15, 10)
	p.ends(1, true)
	if said := p.ends(0, true); !said.claims {
		t.Errorf("it has the first: %+v", said)
	}
	p.is("what came meanwhile is one delta", "13-15, idle")
	p.ends(0, true)
	if len(p.events) != 0 || p.flushed != 15 {
		t.Errorf("it holds %v, up to %d is stored", p.events, p.flushed)
	}
	p.writes(15, 10)
	p.is("where nothing is written they are looked at", "a look, a look")
}

// What one place misses while the other has it is made up for by a snapshot; what no place has is
// kept, and given again with what came since.
func TestOutboxKeepsWhatNoPlaceHas(t *testing.T) {
	p := newPosted(t)
	p.writes(12, 10)
	if said := p.ends(0, false); said.nobody {
		t.Error("the other one may take it")
	}
	p.is("it has missed nothing yet", "idle, 11-12")
	if said := p.ends(1, false); !said.nobody || said.claims {
		t.Errorf("no place has it: %+v", said)
	}
	p.writes(13, 10)
	p.is("it is given again", "11-13, 11-13")
	p.ends(0, false)
	p.ends(1, true)
	p.is("one has missed it", "idle lags, idle")
	if len(p.events) != 0 {
		t.Errorf("it holds %v", p.events)
	}
	p.writes(14, 10)
	p.is("it is given what comes", "14-14 lags, 14-14")
}

// A place that hangs lags once it would have to be given more than is kept for it.
func TestOutboxBounds(t *testing.T) {
	p := newPosted(t)
	p.writes(11, 1<<20)
	p.ends(1, true)
	for revision := int64(12); revision <= 11+deltaSize>>20; revision++ {
		p.writes(revision, 1<<20)
		p.ends(1, true)
	}
	p.is("so much is kept", "11-11, idle")
	p.writes(p.seen+1, 1<<20)
	p.ends(1, true)
	p.is("it is too much", "11-11 lags, idle")
	if len(p.events) != 0 {
		t.Errorf("%d events are held", len(p.events))
	}
	if said := p.ends(0, true); said.claims {
		t.Error("it has a gap, and says that it has all")
	}
	p.is("there is nothing for it", "a look lags, idle")
	p.ends(0, true)
	p.writes(p.seen+1, 10)
	p.is("it goes on where it is", fmt.Sprintf("%d-%d lags, %d-%d", p.seen, p.seen, p.seen, p.seen))
	for p.held(p.flushed, p.seen) <= maxBuffer {
		p.writes(p.seen+1, 1<<20)
	}
	if p.excess() {
		t.Error("what is on its way may be taken")
	}
	for _, w := range p.ways {
		w.place.tookDelta(false)
	}
	if !p.excess() {
		t.Error("more is held than is kept, and no place takes it")
	}
	if !p.spill() || len(p.events) != 0 || p.flushed != p.seen {
		t.Errorf("%d events are held", len(p.events))
	}
	p.ends(0, false)
	if said := p.ends(1, true); said.claims {
		t.Error("it has a gap, and says that it has all")
	}
	p.is("only snapshots help", "a look lags, a look lags")
}

// A place that takes deltas, and is found without what they continue each time, as where it may be
// written to and not be looked at, gets no more than is kept.
func TestOutboxOfAPlaceThatIsNeverHeld(t *testing.T) {
	p := newPosted(t)
	p.writes(11, 2*maxBuffer)
	for i, w := range p.ways {
		w.place.tookDelta(true)
		p.ends(i, false)
	}
	if !p.spill() || len(p.events) != 0 {
		t.Errorf("%d events are held", len(p.events))
	}
}

// What was on its way when it was begun anew says nothing about what it holds then.
func TestOutboxBegunAnew(t *testing.T) {
	p := newPosted(t)
	p.writes(90, 10)
	p.begin(20)
	if said := p.ends(0, true); said.claims || p.flushed != 20 {
		t.Errorf("%+v, up to %d is stored", said, p.flushed)
	}
	p.is("nothing else is due", "idle, 11-90")
	p.writes(21, 10)
	p.is("it goes on", "21-21, 11-90")
	p.ends(1, false)
	p.is("the other one, too", "21-21, 21-21")
}

// What comes at once and is more than is kept is given to places that take deltas: etcd brings up
// to a thousand revisions together.
func TestOutboxOfMuchAtOnce(t *testing.T) {
	p := newPosted(t)
	var much []*clientv3.Event
	for revision := int64(11); revision <= 80; revision++ {
		much = append(much, &clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte("a"), Value: make([]byte, 512<<10), ModRevision: revision}})
	}
	p.add(much, p.noon)
	if p.spill() {
		t.Error("it is given up, and was given to none")
	}
	p.writes(80, 0)
	p.is("it is given to both", "11-80, 11-80")
	p.ends(0, false)
	p.ways[0].place.tookDelta(false)
	if p.spill() {
		t.Error("it is given up, and on its way")
	}
	if said := p.ends(1, true); !said.claims || p.flushed != 80 {
		t.Errorf("%+v, up to %d is stored", said, p.flushed)
	}
	p.is("one has it", "idle lags, idle")
	p.add([]*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("a"), Value: make([]byte, maxBuffer), ModRevision: 81}}}, p.noon)
	if p.spill() {
		t.Error("it is given up, and one takes deltas")
	}
	p.ways[1].place.tookDelta(false)
	if !p.spill() {
		t.Error("more is held than is kept, and none takes it")
	}
}

// All are given what is due before any of them can have taken it: what one takes the other one has
// not missed.
func TestOutboxGivesToAllAtOnce(t *testing.T) {
	p := newPosted(t)
	p.add([]*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("a"), ModRevision: 11}}}, p.noon)
	given := p.mark(p.noon)
	p.ended(p.ways[0], given[p.ways[0]], true)
	if said := p.ended(p.ways[1], given[p.ways[1]], true); !said.claims {
		t.Errorf("it has all, and lags: %+v", said)
	}
}

// Whoever waits for what is due waits for the first place that has it, and at the end for those
// that do not hang.
func TestOutboxIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPosted(t)
		p.writes(12, 10)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		p.settled(over) // no longer than that
		taken, quiet := waits(t, p.settled), waits(t, p.quiet)
		if ended(taken) || ended(quiet) {
			t.Error("nothing is waited for")
		}
		p.ends(1, true)
		if !ended(taken) {
			t.Error("the other one is waited for")
		}
		if ended(quiet) {
			t.Error("the other one is not waited for")
		}
		p.writes(13, 10)
		p.ways[0].place.tookDelta(false)
		p.ends(1, true)
		if !ended(quiet) {
			t.Error("one that hangs is waited for")
		}
		given := false
		p.carries(p.ways[0], func() { given = true })
		if p.end(); !given {
			t.Error("what hangs is not given up")
		}
		p.writes(14, 10)
		p.is("nothing begins any more", "11-12, idle")
	})
}

// Where one takes nothing, and the other one hangs, whoever reads etcd goes on, and whoever ends
// waits: it may still take what it was given.
func TestOutboxIsNotWaitedForWhereAllHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPosted(t)
		p.ways[1].place.tookDelta(false)
		p.writes(12, 10)
		reads := waits(t, p.settled)
		if ended(reads) {
			t.Error("one may take it, and is not waited for")
		}
		p.ways[0].place.tookDelta(false)
		p.ends(0, false)
		ends := waits(t, p.written)
		if !ended(reads) || ended(ends) {
			t.Errorf("who reads has ended: %t, who ends: %t", ended(reads), ended(ends))
		}
		p.ends(1, true)
		if !ended(ends) {
			t.Error("one has it")
		}
	})
}

// waits has somebody wait, in a bubble, and returns what is closed when that has ended.
func waits(t *testing.T, until func(context.Context)) <-chan struct{} {
	t.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		until(t.Context())
	}()
	return over
}

// ended says whether something was closed, once all in the bubble wait.
func ended(over <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-over:
		return true
	default:
		return false
	}
}

// A store that did not take the last delta, and has answered since, is waited for at the end; a look
// alone does not say that it takes deltas again.
func TestStoreThatAnswersAgain(t *testing.T) {
	dir := "file://" + t.TempDir()
	full := fullObject(7, time.Now())
	putSealed(t, dir, full, drawn(t))
	r := NewRecorder(Config{ClusterID: "a", Stores: []string{dir}, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(r.closeStores)
	w := r.outbox.ways[0]
	w.place.tookDelta(false)
	if err := r.hand(t.Context(), w, &parcel{}); err != nil || !w.place.refusing() {
		t.Errorf("nothing was looked for: %v", err)
	}
	w.place.found(full)
	if err := r.hand(t.Context(), w, &parcel{}); err != nil || w.place.refusing() {
		t.Errorf("it answers: %v", err)
	}
	if w.place.tookDelta(false); !w.place.refusing() {
		t.Error("it takes nothing")
	}
	if !w.place.tookDelta(true) {
		t.Error("it takes deltas again")
	}
}
