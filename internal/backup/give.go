package backup

import (
	"bytes"
	"context"
	"io"
	"time"
)

// putTimeout bounds the write of a delta: the next one is due.
const putTimeout = 20 * time.Second

// give has every store take what was received, as what there was up to a time. Nobody waits
// for a store here: one that is slow gets what comes meanwhile as one delta afterwards.
func (r *Recorder) give(ctx context.Context, at time.Time) {
	if r.outbox.spill() {
		seen, _ := r.outbox.reach()
		r.Log.Warn("no store took deltas for too long: they begin anew", "cluster", r.ClusterID, "revision", seen)
	}
	// What is on its way outlives the session with etcd.
	ctx = context.WithoutCancel(ctx)
	for w, p := range r.outbox.mark(at) {
		r.giving.Go(func() { r.giveTo(ctx, w, p) })
	}
}

// giveTo gives a store a delta, and what has come meanwhile.
func (r *Recorder) giveTo(ctx context.Context, w *way, p *parcel) {
	for p != nil {
		err := r.hand(ctx, w, p)
		if err != nil {
			r.Log.Warn("delta for backup not stored", "cluster", r.ClusterID, "store", w.place.url, "error", err)
		}
		said := r.outbox.ended(w, p, err == nil)
		if said.claims {
			r.holds(p.last, p.at)
		}
		if said.nobody {
			r.OnChange()
		}
		p = said.next
	}
}

// hand writes a delta to a store, and looks whether it still has what the delta continues.
func (r *Recorder) hand(ctx context.Context, w *way, p *parcel) error {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	r.outbox.carries(w, cancel)
	if p.sealing == nil {
		return w.place.holds(ctx)
	}
	sealed, err := p.sealing.bytes(r.Key)
	if err != nil {
		return err
	}
	object := p.sealing.object
	object.Size = int64(len(sealed))
	err = w.place.put(ctx, object, func() io.Reader { return bytes.NewReader(sealed) })
	if w.place.tookDelta(err == nil) {
		r.Turns.isBack(w.place.address)
	}
	if err != nil {
		return err
	}
	return w.place.holds(ctx)
}
