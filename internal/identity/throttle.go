package identity

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failureLimit slows down who guesses secrets: a client that failed failureBurst
// times waits failureRefill for each further try.
const (
	failureBurst  = 10
	failureRefill = 10 * time.Second
	maxGuessers   = 4096
)

// failures counts wrong secrets by who tried. It is safe for concurrent use.
type failures struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

func newFailures() *failures { return &failures{by: map[string]*rate.Limiter{}} }

// wait is how long this guesser has to wait before it may try again; zero when it may.
func (f *failures) wait(who string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	limiter, known := f.by[who]
	if !known {
		return 0
	}
	missing := 1 - limiter.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing * float64(failureRefill))
}

// add records a failure.
func (f *failures) add(who string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	limiter, known := f.by[who]
	if !known {
		f.makeRoom(now)
		limiter = rate.NewLimiter(rate.Every(failureRefill), failureBurst)
		f.by[who] = limiter
	}
	limiter.AllowN(now, 1)
}

// makeRoom forgets guessers that have waited long enough and, if that does not
// help, any one: memory stays bounded whatever is sent.
func (f *failures) makeRoom(now time.Time) {
	if len(f.by) < maxGuessers {
		return
	}
	for who, limiter := range f.by {
		if limiter.TokensAt(now) >= failureBurst {
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
