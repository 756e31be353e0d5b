package identity

import (
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

// failures counts wrong secrets by who tried. It is safe for concurrent use.
type failures struct {
	mu sync.Mutex
	// by has when a guesser's last failure is forgiven: each one adds failureRefill.
	by map[string]time.Time
}

func newFailures() *failures { return &failures{by: map[string]time.Time{}} }

// wait is how long this guesser has to wait before it may try again; zero when it may.
func (f *failures) wait(who string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.missing(who, now)
}

// take counts a try as a failure before its outcome is known, so that no two
// tries share one permission. It returns how long to wait instead, if there is
// none.
func (f *failures) take(who string, now time.Time) time.Duration {
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
func (f *failures) giveBack(who string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if until, known := f.by[who]; known {
		f.by[who] = until.Add(-failureRefill)
	}
}

// owed is the time until all failures are forgiven.
func (f *failures) owed(who string, now time.Time) time.Duration {
	return max(f.by[who].Sub(now), 0)
}

func (f *failures) missing(who string, now time.Time) time.Duration {
	return max(f.owed(who, now)-(failureBurst-1)*failureRefill, 0)
}

// makeRoom forgets guessers that have waited long enough and, if that does not
// help, any one: memory stays bounded whatever is sent.
func (f *failures) makeRoom(now time.Time) {
	if len(f.by) < maxGuessers {
		return
	}
	for who, until := range f.by {
		if !until.After(now) {
			delete(f.by, who)
		}
	}
	for who := range f.by {
		if len(f.by) < maxGuessers {
			return
		}
		delete(f.by, who)
	}
}
