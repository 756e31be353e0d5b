package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Schedule says how often what is done. All are ServicePolicy's.
type Schedule struct {
	// Full is the time from one snapshot to the next, Delta that from one delta to the next.
	Full, Delta time.Duration
	Keep        Retention
}

// Config is what a Recorder depends on.
type Config struct {
	ClusterID string
	// Stores are URLs. What one of them misses is made up for by a snapshot.
	Stores []string
	// Key is the cluster's secret key of backups, or its public half, which is enough.
	Key      string
	Schedule Schedule
	// Bundle, if there is one, is kept in every store beside the snapshots.
	Bundle *Bundle
	// Connect says how etcd is reached, each time anew: certificates are replaced.
	Connect func(context.Context) (clientv3.Config, error)
	// Members says, of an etcd with several members, how each of them is reached (URLs); nil
	// means that one answers for all.
	Members func(context.Context) ([]string, error)
	// RolledBack and Doubtful are what an earlier recorder's State said.
	RolledBack, Doubtful bool
	// Recorded is what was stored of an etcd that is RolledBack, as far as is known: the store
	// that has the last of it may be away.
	Recorded int64
	// Scratch is a directory with room for a sealed snapshot; empty means the system's.
	Scratch string
	// Turns are those that this recorder shares with others; nil means that it has its own.
	Turns *Turns
	// Reads are where it says that it reads a snapshot, and those who defragment that it must
	// not; nil means that nobody does.
	Reads *Reads
	// Patience is how long a store may take nothing of a snapshot before others go first (a
	// minute if zero).
	Patience time.Duration
	// OnChange is called after a snapshot and when something begins or ceases to fail.
	OnChange func()
	// OnEmptied is called when the newest snapshot has gone from a store, with its URL
	// without anything secret.
	OnEmptied func(store string)
	// OnDisputed is told of a revision at which a majority of etcd's members held something else
	// than was recorded, when they have compacted that, and nobody will say which of it counts.
	OnDisputed func(revision int64)
	Log        *slog.Logger
	Now        func() time.Time
}

// Recorder keeps the backups of one cluster up to date while it runs.
type Recorder struct {
	Config
	places []*place

	// outbox is what the stores have yet to take, and giving what gives it to them.
	outbox *outbox
	giving sync.WaitGroup

	// Only the loop of a session uses these.
	//
	// asked is what etcd was asked last, until the watch has brought all that it had then.
	asked question
	// looked: the stores were asked once how far they have come.
	looked bool
	// last is the last of what was recorded of which it is known what was written there.
	last landmark
	// era is who answered when it was looked whether that is still there, and heard who said what
	// the watch brought last: what was said before an election may come after the look.
	era, heard era

	disputed dispute

	// hurried holds one when deltas are to be written every hurriedDelta from now on.
	hurried chan struct{}

	// recorded is the last revision that a store was found to have.
	recorded atomic.Int64
	// rolledBack: etcd had less than was recorded, and has not been recovered since.
	rolledBack atomic.Bool
	// doubtful: what was recorded may be of a member that held other data. renewed is the
	// revision from which on it is recorded anew; zero before that.
	doubtful atomic.Bool
	renewed  atomic.Int64
	// way is how the etcd of this session is reached.
	way     clientv3.Config
	members members

	// suspicion is what is asked while an etcd counts as one that lost data.
	suspicion suspicion

	mu    sync.Mutex
	state State
}

// NewRecorder makes a recorder that has not begun.
func NewRecorder(config Config) *Recorder {
	r := &Recorder{Config: config, hurried: make(chan struct{}, 1)}
	r.rolledBack.Store(config.RolledBack)
	r.doubtful.Store(config.Doubtful)
	if config.RolledBack {
		r.recorded.Store(config.Recorded)
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.Turns == nil {
		r.Turns = NewTurns(1)
	}
	if r.Reads == nil {
		r.Reads = NewReads()
	}
	if r.Patience == 0 {
		r.Patience = defaultPatience
	}
	if r.OnChange == nil {
		r.OnChange = func() {}
	}
	if r.OnEmptied == nil {
		r.OnEmptied = func(string) {}
	}
	if r.OnDisputed == nil {
		r.OnDisputed = func(int64) {}
	}
	for _, address := range config.Stores {
		r.places = append(r.places, &place{address: address, url: Redact(address), cluster: config.ClusterID, slots: make(chan struct{}, inFlight), onEmptied: func() { r.OnEmptied(Redact(address)) }})
	}
	r.outbox = newOutbox(r.places)
	return r
}

// hurriedDelta is the time from one delta to the next where somebody waits for them.
const hurriedDelta = 300 * time.Millisecond

// Hurry has what is written to etcd stored at once, as long as the session with it lasts.
func (r *Recorder) Hurry() {
	select {
	case r.hurried <- struct{}{}:
	default:
	}
}

// State is what is known now.
func (r *Recorder) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notAhead()
	state := r.state
	state.RolledBack, state.Doubtful = r.rolledBack.Load(), r.doubtful.Load()
	if !state.RolledBack {
		state.Rollback = nil
	}
	for _, p := range r.places {
		state.Stores = append(state.Stores, p.state())
	}
	return state
}

// The pauses between attempts to read an etcd. None is longer than the time from one delta to
// the next.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// Run records until ctx is done, and stores what it still holds then. An etcd or a store
// that does not answer is asked again and again.
func (r *Recorder) Run(ctx context.Context) {
	defer r.closeStores()
	defer r.giving.Wait()
	defer r.outbox.end()
	pause := firstPause
	for ctx.Err() == nil {
		began := r.Now()
		err := r.session(ctx)
		r.farewell(ctx)
		if ctx.Err() != nil {
			return
		}
		r.etcdFailed(err)
		if r.Now().Sub(began) > lastPause {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause, max(r.Schedule.Delta, firstPause))
	}
}

// farewellTime bounds the last write of a recorder, or of a session with etcd.
const farewellTime = 10 * time.Second

// farewell stores what was received, also when etcd has gone. When the recorder is to end, a store
// that hangs is waited for until another one has it, and the others are waited for too.
func (r *Recorder) farewell(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
	defer cancel()
	r.asked = question{}
	r.flush(last, r.known())
	if ctx.Err() == nil {
		r.outbox.settled(last)
		return
	}
	r.outbox.written(last)
	r.outbox.quiet(last)
}

// known is up to when everything is stored as far as is known: what the watch has brought
// since does not say what it has yet to bring.
func (r *Recorder) known() time.Time {
	if point := r.State().RecoveryPoint; !point.IsZero() {
		return point
	}
	at, _ := r.outbox.received()
	return at // no snapshot is stored: nothing claims it
}

// errGap says that etcd no longer has all the revisions since the last delta.
var errGap = errors.New("etcd has compacted revisions that no delta has: a new snapshot begins the next chain")

// session records as long as etcd answers.
func (r *Recorder) session(ctx context.Context) error {
	config, err := r.Connect(ctx)
	if err != nil {
		return err
	}
	config.DialOptions = slices.Concat(config.DialOptions, cheaply())
	r.way = config
	client, err := clientv3.New(config)
	if err != nil {
		return fmt.Errorf("dial etcd: %w", err)
	}
	defer func() { _ = client.Close() }()
	if err := r.findStart(ctx, client); err != nil {
		return err
	}
	r.OnChange()
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	r.heard = era{}
	seen, _ := r.outbox.reach()
	watch := client.Watch(clientv3.WithRequireLeader(ctx), "", clientv3.WithPrefix(), clientv3.WithRev(seen+1))
	return r.follow(ctx, client, watch, &running)
}

// deltaSize is how much is held before it is written without waiting for its time, in bytes:
// a cluster that is being filled must not fill Berth's memory, where every gateway is.
const deltaSize = 8 << 20

// follow takes in revisions, and writes deltas and snapshots when they are due.
func (r *Recorder) follow(ctx context.Context, client *clientv3.Client, watch clientv3.WatchChan, running *sync.WaitGroup) error {
	ticker := time.NewTicker(r.Schedule.Delta)
	defer ticker.Stop()
	fulls := make(chan struct{}, 1) // holds one while none is being made
	fulls <- struct{}{}
	gone, moved := leaving(ctx, client.ActiveConnection())
	hurried := false
	for {
		if len(fulls) > 0 {
			r.beginFull(ctx, client, fulls, running)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-gone:
			if answers(client) {
				return errLeaving // it says all again that it has
			}
			return r.hearOut(watch)
		case response, open := <-watch:
			if err := r.before(ctx, client, response, gone, moved); err != nil {
				return err
			}
			if err := r.receive(response, open); err != nil {
				return err
			}
			r.answer(ctx)
			r.early(ctx)
		case <-r.hurried:
			if !hurried {
				ticker.Reset(min(hurriedDelta, r.Schedule.Delta))
			}
			hurried = true
		case <-moved:
			if err := r.another(ctx, client); err != nil {
				return err
			}
		case <-ticker.C:
			if err := r.tick(ctx, client); err != nil {
				return err
			}
		}
	}
}

// beginFull makes a snapshot beside the deltas if a store is due for one, and none is being
// made but for stores that take nothing, nor etcd defragmented.
func (r *Recorder) beginFull(ctx context.Context, client *clientv3.Client, fulls chan struct{}, running *sync.WaitGroup) {
	var due []*place
	for _, p := range r.places {
		if p.due(r.Now(), r.Schedule) {
			due = append(due, p)
		}
	}
	if len(due) == 0 || r.Reads.held(r.ClusterID) {
		return
	}
	<-fulls
	another := sync.OnceFunc(func() { fulls <- struct{}{} })
	running.Go(func() {
		defer another()
		err := r.full(ctx, client, due, another)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errYields):
			r.Log.Info("snapshot for backup put off", "cluster", r.ClusterID, "reason", err)
			return
		case err != nil:
			r.Log.Warn("snapshot for backup failed", "cluster", r.ClusterID, "error", err)
		}
		r.snapshotFailed(err)
		r.OnChange()
	})
}

func (r *Recorder) receive(response clientv3.WatchResponse, open bool) error {
	if response.CompactRevision != 0 {
		r.restart()
		return errGap
	}
	if err := response.Err(); err != nil {
		return fmt.Errorf("watch etcd: %w", err)
	}
	if !open {
		return errors.New("watch etcd: it has ended")
	}
	r.etcdFailed(nil)
	r.outbox.add(response.Events, r.Now())
	r.last = lastOf(response.Events, r.last)
	return nil
}

// early writes a delta that has become large, and waits until a store has it, or those that may
// still take it hang: what etcd has for the recorder is held in memory, too. What no store took is
// tried again when as much again has come, or its time has.
func (r *Recorder) early(ctx context.Context) {
	if _, fresh := r.outbox.received(); fresh < deltaSize {
		return
	}
	r.flush(ctx, r.known())
	r.outbox.settled(ctx)
}

// tick asks etcd how far it is. What it had then is written as soon as the watch has
// brought it; what was waited for since the last tick is written now.
func (r *Recorder) tick(ctx context.Context, client *clientv3.Client) error {
	if r.asked != (question{}) {
		r.flush(ctx, r.known())
	}
	if err := r.agree(ctx, client); err != nil {
		return err
	}
	at := r.Now()
	revision, err := r.revision(ctx, client)
	if err != nil {
		return err
	}
	if err := r.check(ctx, client, revision, r.furthest()); err != nil {
		return err
	}
	r.etcdFailed(nil)
	r.asked = question{at, revision}
	r.answer(ctx)
	return nil
}

// answer writes a delta once all that etcd was asked for is there. Where nothing was
// written, that the stores still have what nothing was added to is as good as one.
func (r *Recorder) answer(ctx context.Context) {
	if seen, _ := r.outbox.reach(); r.asked == (question{}) || seen < r.asked.revision {
		return
	}
	at := r.asked.at
	r.asked = question{}
	r.give(ctx, at)
}

// flush writes what was received to every store, as what there was up to a time. It is
// kept while no store takes it, within bounds.
func (r *Recorder) flush(ctx context.Context, at time.Time) {
	if seen, flushed := r.outbox.reach(); seen > flushed {
		r.give(ctx, at)
	}
}

// restart forgets where the deltas ended: they cannot be continued, and the next begin
// where etcd is then.
func (r *Recorder) restart() {
	r.outbox.begin(0)
	r.last = landmark{}
	for _, p := range r.places {
		p.lag()
	}
}

// etcdFailed notes why etcd cannot be read, nil if it can.
func (r *Recorder) etcdFailed(err error) {
	said := ""
	if err != nil && !errors.Is(err, errGap) {
		said = err.Error()
	}
	r.mu.Lock()
	changed := (r.state.Etcd == "") != (said == "")
	r.state.Etcd = said
	r.mu.Unlock()
	if changed {
		r.OnChange()
	}
}

// snapshotFailed notes why the last attempt at a snapshot failed, nil if it did not.
func (r *Recorder) snapshotFailed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Snapshot = ""
	if err != nil {
		r.state.Snapshot = err.Error()
	}
}

// holds notes that everything up to a revision, and a time, is in a store.
func (r *Recorder) holds(revision int64, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notAhead()
	r.state.Revision = max(r.state.Revision, revision) // a store that is slow says so late
	if at.After(r.state.RecoveryPoint) {
		r.state.RecoveryPoint = at
	}
}

// notAhead takes a recovery point back to a clock that was set back. Left ahead of it, the
// point would say that all is stored until the clock has come there, whatever becomes of
// the stores. The caller holds the lock.
func (r *Recorder) notAhead() {
	r.state.RecoveryPoint = earlier(r.state.RecoveryPoint, r.Now())
}

func (r *Recorder) closeStores() {
	for _, p := range r.places {
		p.close()
	}
}
