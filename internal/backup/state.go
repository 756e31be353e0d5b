package backup

import "time"

// question is one to etcd for its revision: everything that was acknowledged before it was
// asked is in what etcd answers.
type question struct {
	at       time.Time
	revision int64
}

// State is how far a Recorder has come.
type State struct {
	// RecoveryPoint is the time up to which everything written is in a store that has a
	// snapshot before it, and Revision what etcd had reached then.
	RecoveryPoint time.Time
	Revision      int64
	// Full is the newest snapshot.
	Full *Object
	// FullTook is how long the last one took from being asked for until it was in all
	// stores; zero if this recorder has made none.
	FullTook time.Duration
	// Snapshot is why the last attempt at one failed; empty if it did not.
	Snapshot string
	// Etcd is why etcd cannot be read; empty while it can.
	Etcd string
	// RolledBack says that etcd had less than was recorded of it, and that it has not been
	// recovered since.
	RolledBack bool
	// Rollback is what is known of that; nil if nothing is.
	Rollback *Rollback
	// Doubtful says that members of etcd held different data, and that no snapshot has been
	// stored since: what was recorded may be of one that nobody counts on.
	Doubtful bool
	// KeyLost says that the stores have snapshots, and that none of the newest opens with
	// the key that the recorder has: until it has made one, nothing can be given back.
	KeyLost bool
	// Alarms are those that etcd has raised, by their names, in order: NOSPACE, CORRUPT.
	Alarms []string
	Stores []StoreState
}

// StoreState is that of one store.
type StoreState struct {
	URL string
	// Full is the time of its newest snapshot; zero if it has none.
	Full time.Time
	// Behind says that its deltas do not continue its newest snapshot.
	Behind bool
	// Emptied says that its newest snapshot has gone, and that it has got no other since.
	Emptied bool
	// Error is why the last write to it failed; empty if it did not.
	Error string
}
