package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// lookForAlarms asks etcd which alarms it has raised. One that does not say keeps those that
// are known.
func (r *Recorder) lookForAlarms(ctx context.Context, client *clientv3.Client) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	response, err := client.AlarmList(ctx)
	if err != nil {
		r.Log.Warn("alarms of etcd cannot be read", "cluster", r.ClusterID, "error", err)
		return
	}
	var alarms []string
	for _, alarm := range response.Alarms {
		alarms = append(alarms, alarm.Alarm.String())
	}
	slices.Sort(alarms)
	alarms = slices.Compact(alarms) // each member raises its own
	r.mu.Lock()
	changed := !slices.Equal(r.state.Alarms, alarms)
	r.state.Alarms = alarms
	r.mu.Unlock()
	if changed {
		r.OnChange()
	}
}

// ErrLost says that an etcd has less than was recorded of it.
var ErrLost = errors.New("etcd has lost data")

func lost(current, recorded int64) error {
	return fmt.Errorf("%w: it is at revision %d, and %d was recorded", ErrLost, current, recorded)
}

// recoveredJump is by less than a recovery lets etcd's revisions jump, and more than etcd
// gets through by itself between two looks.
const recoveredJump = 500_000_000

// check says whether etcd has lost what was recorded of it. One that had is not recorded
// before it was recovered, however far it has gone on since: its revisions are of another
// history, and would continue the old one's backups.
func (r *Recorder) check(current, recorded int64) error {
	switch {
	case current < recorded:
		r.rolledBack.Store(true)
		return lost(current, recorded)
	case !r.rolledBack.Load():
		return nil
	case recorded == 0 || current-recorded < recoveredJump:
		return fmt.Errorf("%w: it had less than was recorded, up to revision %d, and has gone on without that to %d; it is not recorded until its data have been recovered", ErrLost, recorded, current)
	}
	r.rolledBack.Store(false)
	return nil
}

// findStart decides which revision the watch goes on from: where the deltas in the
// stores end, if etcd's history is still the same and whole, else now. That a history is
// another one shows in etcd's answer to the watch, since restores mark all that was
// before as compacted.
func (r *Recorder) findStart(ctx context.Context, client *clientv3.Client) error {
	if !r.looked || r.rolledBack.Load() && r.flushed == 0 {
		r.looked = true
		if r.look(ctx) {
			r.rolledBack.Store(false) // there is no backup to be continued
		}
	}
	current, err := currentRevision(ctx, client)
	if err != nil {
		return err
	}
	// To record it would make what is left of it the newest backup.
	if err := r.check(current, max(r.flushed, r.recorded.Load())); err != nil {
		return err
	}
	if r.flushed == 0 {
		r.flushed = current
	}
	r.etcdFailed(nil)
	r.buffer.seen = max(r.buffer.seen, r.flushed)
	return nil
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
	r.flushed = furthest
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
