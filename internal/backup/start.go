package backup

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// askTimeout bounds one small question to etcd.
const askTimeout = 10 * time.Second

// currentHeader asks the whole etcd and not only the member that answers.
func currentHeader(ctx context.Context, client *clientv3.Client) (*etcdserverpb.ResponseHeader, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	response, err := client.Get(ctx, "berth", clientv3.WithCountOnly())
	if err != nil {
		return nil, fmt.Errorf("ask etcd for its revision: %w", err)
	}
	return response.Header, nil
}

// findStart decides which revision the watch goes on from: where the deltas in the
// stores end, if etcd's history is still the same and whole, else now. That a history is
// another one shows in etcd's answer to the watch, since restores mark all that was
// before as compacted.
func (r *Recorder) findStart(ctx context.Context, client *clientv3.Client) error {
	if _, flushed := r.outbox.reach(); !r.looked || r.rolledBack.Load() && flushed == 0 {
		r.looked = true
		if r.look(ctx) {
			r.rolledBack.Store(false) // there is no backup to be continued
			r.recorded.Store(0)
		}
	}
	if err := r.agree(ctx, client); err != nil {
		return err
	}
	// To record one that lost data would make what is left of it the newest backup.
	current, err := r.sameHistory(ctx, client)
	if err != nil {
		return err
	}
	if err := r.check(ctx, client, current, r.furthest()); err != nil {
		return err
	}
	if r.doubtful.Load() {
		r.restart()
		r.renewed.Store(current)
	}
	if _, flushed := r.outbox.reach(); flushed == 0 {
		r.outbox.begin(current)
	}
	r.etcdFailed(nil)
	return nil
}

// furthest is up to where etcd was recorded, as far as is known.
func (r *Recorder) furthest() int64 {
	seen, flushed := r.outbox.reach()
	return max(seen, flushed, r.recorded.Load())
}

// look reads in the stores how far they have come. Those that are not as far as the
// furthest need a snapshot, and so do those whose newest one another key opens: what that
// has sealed is continued by nothing. It says whether all answered and have no snapshot.
func (r *Recorder) look(ctx context.Context) bool {
	none, foreign := true, false
	var furthest int64
	var newest *Object
	var point time.Time
	ends := map[*place]int64{}
	lists := r.lists(ctx)
	for i, p := range r.places {
		objects, err := lists[i].objects, lists[i].err
		if err != nil {
			none = false
			continue
		}
		full := newestFull(objects)
		if full == nil {
			continue
		}
		none = false
		revision, at := reach(objects)
		r.found(revision)
		if lists[i].foreign {
			foreign = true
			continue
		}
		ends[p] = revision
		p.found(*full)
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
	r.outbox.begin(furthest)
	if newest != nil && r.last == (landmark{}) {
		r.last = r.lastIn(ctx, lists, span{newest.Last + 1, furthest})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.KeyLost = foreign && newest == nil
	if newest != nil {
		r.state.Full, r.state.Revision, r.state.RecoveryPoint = newest, furthest, earlier(point, r.Now())
	}
	return none
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
