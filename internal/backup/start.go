package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// askTimeout bounds one small question to etcd.
const askTimeout = 10 * time.Second

// currentRevision asks the whole etcd and not only the member that answers.
func currentRevision(ctx context.Context, client *clientv3.Client) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	response, err := client.Get(ctx, "berth", clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("ask etcd for its revision: %w", err)
	}
	return response.Header.Revision, nil
}

// ErrLost says that an etcd has less than was recorded of it.
var ErrLost = errors.New("etcd has lost data")

func lost(current, recorded int64) error {
	return fmt.Errorf("%w: it is at revision %d, and %d was recorded", ErrLost, current, recorded)
}

// findStart decides which revision the watch goes on from: where the deltas in the
// stores end, if etcd's history is still the same and whole, else now. That a history is
// another one shows in etcd's answer to the watch, since restores mark all that was
// before as compacted.
func (r *Recorder) findStart(ctx context.Context, client *clientv3.Client) error {
	if !r.looked {
		r.looked = true
		r.look(ctx)
	}
	current, err := currentRevision(ctx, client)
	if err != nil {
		return err
	}
	// To record it would make what is left of it the newest backup.
	if recorded := max(r.flushed, r.recorded.Load()); recorded > current {
		return lost(current, recorded)
	}
	if r.flushed == 0 {
		r.flushed = current
	}
	r.etcdFailed(nil)
	r.buffer.seen = max(r.buffer.seen, r.flushed)
	return nil
}

// look reads in the stores how far they have come. Those that are not as far as the
// furthest need a snapshot.
func (r *Recorder) look(ctx context.Context) {
	var furthest int64
	var newest *Object
	var point time.Time
	ends := map[*place]int64{}
	for _, p := range r.places {
		objects, err := p.list(ctx)
		if err != nil {
			continue
		}
		full := newestFull(objects)
		if full == nil {
			continue
		}
		revision, at := reach(objects)
		ends[p] = revision
		p.found(full.Time)
		if err := r.bundle(ctx, p); err != nil {
			r.Log.Warn("bundle not stored", "cluster", r.ClusterID, "store", p.url, "error", err)
			p.lag() // a snapshot takes it along
		}
		if revision > furthest {
			furthest, newest, point = revision, full, at
		}
	}
	for _, p := range r.places {
		if ends[p] == 0 || ends[p] < furthest {
			p.lag()
		}
	}
	r.flushed = furthest
	r.found(furthest)
	r.mu.Lock()
	defer r.mu.Unlock()
	if newest != nil {
		r.state.Full, r.state.Revision, r.state.RecoveryPoint = newest, furthest, earlier(point, r.Now())
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
