package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Who guesses secrets is slowed down: after failureBurst wrong ones, one more is
// looked at each failureRefill.
const (
	failureBurst  = 10
	failureRefill = 10 * time.Second
	maxGuessers   = 4096
)

// guesser is the hash of who tries: as short as any, whatever a client sends.
type guesser [sha256.Size]byte

func guesserNamed(name string) guesser { return sha256.Sum256([]byte(name)) }

// failures counts wrong secrets by who tried. It is safe for concurrent use.
type failures struct {
	mu sync.Mutex
	// by has when a guesser's last failure is forgiven: each one adds failureRefill.
	by map[guesser]time.Time
}

func newFailures() *failures { return &failures{by: map[guesser]time.Time{}} }

// wait is how long this guesser has to wait before it may try again; zero when it may.
func (f *failures) wait(who guesser, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.missing(who, now)
}

// take counts a try as a failure before its outcome is known, so that no two
// tries share one permission. It returns how long to wait instead, if there is
// none.
func (f *failures) take(who guesser, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait := f.missing(who, now); wait > 0 {
		return wait
	}
	if _, known := f.by[who]; !known {
		f.makeRoom(now)
	}
	f.by[who] = now.Add(f.owed(who, now) + failureRefill)
	return 0
}

// giveBack undoes a take whose try turned out right.
func (f *failures) giveBack(who guesser) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if until, known := f.by[who]; known {
		f.by[who] = until.Add(-failureRefill)
	}
}

// owed is the time until all failures are forgiven.
func (f *failures) owed(who guesser, now time.Time) time.Duration {
	return max(f.by[who].Sub(now), 0)
}

func (f *failures) missing(who guesser, now time.Time) time.Duration {
	return max(f.owed(who, now)-(failureBurst-1)*failureRefill, 0)
}

// makeRoom forgets guessers that have waited long enough and, if that does not
// help, the one that would have next: memory stays bounded whatever is sent, and
// a flood of single failures does not push out who failed often.
func (f *failures) makeRoom(now time.Time) {
	if len(f.by) < maxGuessers {
		return
	}
	var next guesser
	var soonest time.Time
	for who, until := range f.by {
		if !until.After(now) {
			delete(f.by, who)
		} else if soonest.IsZero() || until.Before(soonest) {
			next, soonest = who, until
		}
	}
	if len(f.by) >= maxGuessers {
		delete(f.by, next)
	}
}
