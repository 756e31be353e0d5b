package backup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// compareAgain is how long after a comparison with what was recorded the next one is made at the
// latest of an etcd that counts as one that lost data and has gone on.
const compareAgain = 5 * time.Minute

// suspicion is whether an etcd that counts as one that lost data and has gone on has what was
// recorded after all: a member was read that differs from the others, or somebody has put the
// data back. It is open until a store says so, which may take longer than etcd tells of its past:
// that is kept meanwhile.
type suspicion struct {
	mu sync.Mutex
	// held is what etcd told of a span of its past; nil if nothing is kept. It is still that etcd as
	// long as that has what it had last.
	held prints
	of   span
	last landmark
	// tried is when it was compared last, pause how long after that it is again, and answer what
	// came of it.
	tried  time.Time
	pause  time.Duration
	answer error
}

// heldBeyond is how many revisions are kept beyond the last that is known to have been recorded: a
// store that is away may have more, of the minutes in which no status was written.
const heldBeyond = 1 << 16

// errForgotten and noDeltas are the answers for which nobody waits.
var errForgotten = errors.New("it does not tell of its past so far back: the operator chooses")

// noDeltas says that the stores do not have every write of a time: up to which revision they have,
// zero if that is not known of any.
type noDeltas int64

// Error implements error.
func (n noDeltas) Error() string {
	if n == 0 {
		return "the stores do not have every write of that time: the operator chooses"
	}
	return fmt.Sprintf("the stores have the writes of that time up to revision %d only: the operator chooses", int64(n))
}

// hasAll says whether an etcd that counts as one that lost data has what was recorded after all;
// if not, why, or what that waits for.
func (r *Recorder) hasAll(ctx context.Context, client *clientv3.Client, current, recorded int64) error {
	r.mu.Lock()
	if known := r.state.Rollback; known != nil && known.Revision < known.Recorded {
		r.state.Rollback = nil // it has gone on
	}
	r.mu.Unlock()
	s := &r.suspicion
	s.mu.Lock()
	defer s.mu.Unlock()
	anew, err := s.read(ctx, client, current, recorded)
	if err != nil {
		return err
	}
	if anew {
		s.tried, s.pause = time.Time{}, 0
	}
	now := r.Now()
	if since := now.Sub(s.tried); !s.tried.IsZero() && since >= 0 && since < s.pause {
		return s.answer
	}
	s.tried, s.pause = now, min(max(2*s.pause, r.Schedule.Delta), compareAgain)
	if s.answer = r.compare(ctx, s.held, span{s.of.first, recorded}); errors.As(s.answer, new(apartAt)) {
		s.pause = compareAgain
	}
	return s.answer
}

// read has etcd tell of its past, unless what is kept of that is still true. It says whether it
// was read anew.
func (s *suspicion) read(ctx context.Context, client *clientv3.Client, current, recorded int64) (anew bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, apartTimeout)
	defer cancel()
	if s.held != nil && current >= s.last.revision && recorded <= s.of.last {
		said, err := seenAt(ctx, client, s.last)
		if err != nil {
			return false, err
		}
		if said == asRecorded {
			now, err := landmarkAt(ctx, client, current)
			if err == nil && now != (landmark{}) {
				s.last = now
			}
			return false, err
		}
	}
	s.held = nil
	from, err := oldest(ctx, client)
	if err != nil {
		return false, err
	}
	if from > recorded {
		return false, errForgotten
	}
	held, last, of := prints{}, prints{}, span{from, min(current, recorded+heldBeyond)}
	if err := past(ctx, client, span{from, current}, keep(held, of.last, last, current)); err != nil {
		return false, err
	}
	s.held, s.of, s.last = held, of, landmark{current, last[current]}
	return true, nil
}

// keep has what etcd tells be held up to a revision, and what it has last.
func keep(held prints, upTo int64, last prints, current int64) func(*clientv3.Event) {
	return func(event *clientv3.Event) {
		if event.Kv.ModRevision <= upTo {
			held.add(event)
		}
		if event.Kv.ModRevision == current {
			last.add(event)
		}
	}
}

// close forgets what was kept.
func (s *suspicion) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held, s.of, s.last, s.tried, s.pause, s.answer = nil, span{}, landmark{}, time.Time{}, 0, nil
}

// apartAt is the first revision of which another write was recorded than etcd has.
type apartAt int64

// Error implements error.
func (a apartAt) Error() string {
	return fmt.Sprintf("it has another write than was recorded at revision %d: it is not recorded until its data have been recovered", int64(a))
}

// compare says whether etcd's past is what was recorded; if not, why, or what that waits for.
func (r *Recorder) compare(ctx context.Context, held prints, of span) error {
	ctx, cancel := context.WithTimeout(ctx, apartTimeout)
	defer cancel()
	identity, err := parseKey(r.Key)
	if err != nil {
		return fmt.Errorf("the backups cannot be opened here, and compared: the operator chooses: %w", err)
	}
	stored, unread := r.printed(ctx, identity, of)
	reached := shared(stored, held, of)
	if reached == of.last {
		return nil
	}
	for revision := of.first; revision <= of.last; revision++ {
		if recorded, known := stored[revision]; known && recorded != held[revision] {
			return apartAt(revision)
		}
	}
	if unread != nil {
		return fmt.Errorf("whether it has that after all is compared again, and waits for what cannot be read in the stores: %w", unread)
	}
	return noDeltas(reached)
}
