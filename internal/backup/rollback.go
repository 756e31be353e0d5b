package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrLost says that an etcd has less than was recorded of it.
var ErrLost = errors.New("etcd has lost data")

// Rollback is what is known of an etcd that came back with less than was recorded of it.
type Rollback struct {
	// Time is when this was found out.
	Time time.Time
	// Revision is what it has reached by now, and Recorded the last that was recorded before.
	Revision, Recorded int64
	// Shared is the last revision that it has as it was recorded; zero if that cannot be told.
	Shared int64
	// Written is how many revisions it has taken since then that somebody may count on:
	// those that hold more than what is written again by itself.
	Written int64
	// Several: it has more members than one, in whose place nothing is put by itself.
	Several bool
	// unread is what cannot be read in the stores, so that it is compared again.
	unread error
}

// chooses is where the operator finds what to do.
const chooses = `the operator chooses (the guide, "Backups": "When etcd comes up with less than was stored")`

// Restorable says whether nothing is lost when the backups take the place of what etcd holds.
func (b *Rollback) Restorable() bool {
	return b != nil && b.Shared > 0 && b.Written == 0 && b.Revision < b.Recorded
}

// String implements fmt.Stringer.
func (b *Rollback) String() string {
	switch {
	case b.Restorable() && b.Several:
		return fmt.Sprintf("it has taken nothing since revision %d but what is written again by itself, so that nothing is lost by a recovery; of several members none is made by itself: %s", b.Shared, chooses)
	case b.Restorable():
		return fmt.Sprintf("it has taken nothing since revision %d but what is written again by itself, so that the backups may be put back", b.Shared)
	case b.Shared > 0 && b.Written == 0:
		return fmt.Sprintf("it has gone on from revision %d beyond what the backups have, with nothing but what is written again by itself: %s", b.Shared, chooses)
	case b.Shared > 0:
		return fmt.Sprintf("it has gone on from revision %d with writes of its own, %d at least: %s", b.Shared, b.Written, chooses)
	case b.unread != nil:
		return fmt.Sprintf("what it has taken since is compared again, and waits for what cannot be read in the stores: %s", b.unread)
	default:
		return "what it has taken since cannot be told apart: " + chooses
	}
}

// recoveredJump is by less than a recovery lets etcd's revisions jump, and more than etcd
// gets through by itself between two looks.
const recoveredJump = 500_000_000

// check says whether etcd has lost what was recorded of it. One that had is not recorded
// before it was recovered, or found to have it after all, however far it has gone on since:
// its revisions are of another history, and would continue the old one's backups.
func (r *Recorder) check(ctx context.Context, client *clientv3.Client, current, recorded int64) error {
	switch {
	case current < recorded:
		return r.behind(ctx, client, current, recorded)
	case !r.rolledBack.Load():
		return nil
	case recorded == 0:
		return fmt.Errorf("%w: it lacked some of what was recorded, and no store that answers says up to where that was: both are compared when one does", ErrLost)
	case current-recorded < recoveredJump:
		if err := r.hasAll(ctx, client, current, recorded); err != nil {
			return fmt.Errorf("%w: it lacked some of what was recorded, up to revision %d, and has gone on to %d; %w", ErrLost, recorded, current, err)
		}
	}
	r.rolledBack.Store(false)
	r.suspicion.close()
	return nil
}

// behind finds out what it means that the member that answers has less than was recorded. What
// etcd has taken since is not looked at, and stays, while what was recorded may be of a member
// that held other data: one that others lack it of, or that is away; nor while no store has more
// than etcd.
func (r *Recorder) behind(ctx context.Context, client *clientv3.Client, current, recorded int64) error {
	at := r.Now()
	said, err := r.ask(ctx, current, recorded)
	switch {
	case said == unclear:
		return fmt.Errorf("a member of etcd is at revision %d, and %d was recorded; of the others no majority says what it has: %w", current, recorded, cmp.Or(err, errors.New("they differ")))
	case said == has:
		r.doubt()
		return fmt.Errorf("a member of etcd is at revision %d, and the majority has what was recorded, up to %d: it is recorded anew from the others", current, recorded)
	case r.doubtful.Load() && r.members.several():
		return fmt.Errorf("etcd is at revision %d, and what was recorded up to %d may be of a member that held other data: it is recorded anew when etcd is beyond that", current, recorded)
	}
	found := Rollback{}
	if said == lacks && !r.doubtful.Load() && current < r.stored() {
		found = r.judge(ctx, client, current, recorded)
	}
	found.Time, found.Revision, found.Recorded, found.Several = at, current, recorded, r.members.several()
	err = fmt.Errorf("%w: it is at revision %d, and %d was recorded; %s", ErrLost, current, recorded, &found)
	r.know(&found, err)
	return err
}

// stored is what a store is known to reach: what no store took cannot be put back.
func (r *Recorder) stored() int64 {
	return max(r.State().Revision, r.recorded.Load())
}

// know notes that an etcd came back with less, what is known of it and how that is said.
// Whoever acts on it does so at once: what etcd takes later is not known.
func (r *Recorder) know(found *Rollback, said error) {
	r.mu.Lock()
	r.rolledBack.Store(true)
	r.state.Rollback, r.state.Etcd = found, said.Error()
	r.mu.Unlock()
	r.OnChange()
}

// judge finds out what etcd has taken since it came back. What somebody may count on stays.
func (r *Recorder) judge(ctx context.Context, client *clientv3.Client, current, recorded int64) Rollback {
	r.mu.Lock()
	found := r.state.Rollback
	r.mu.Unlock()
	if found == nil || found.Recorded != recorded || found.Written == 0 {
		var err error
		if found, err = r.apart(ctx, client, current, recorded); err != nil {
			r.Log.Warn("what etcd has taken since it lost data cannot be told", "cluster", r.ClusterID, "error", err)
			found = &Rollback{}
		}
	}
	return *found
}
