package watch

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// Loop runs an agent's passes, one after another: one for each Notify, those in between taken together.
type Loop struct {
	// Settle is the least time from the end of one pass to the next.
	Settle time.Duration
	// Check is how often a full pass is made without a Notify.
	Check time.Duration
	// Retry is the wait after a pass that returned an error.
	Retry time.Duration
	// Beat is how often the loop turns without a pass to make.
	Beat time.Duration

	wake  chan struct{}
	begun time.Time
	turn  atomic.Int64 // of the last turn, since begun: by a clock that nobody sets
}

// NewLoop returns a Loop with the waits that suit an agent: 100 ms, 1 min, 2 s, 10 s.
func NewLoop() *Loop {
	return &Loop{
		Settle: 100 * time.Millisecond, Check: time.Minute, Retry: 2 * time.Second, Beat: 10 * time.Second,
		wake: make(chan struct{}, 1), begun: time.Now(),
	}
}

// Idle is how long ago the loop last turned, or was made. It says that a pass hangs, and nothing of what passes do.
func (l *Loop) Idle() time.Duration { return time.Since(l.begun) - time.Duration(l.turn.Load()) }

func (l *Loop) turns() { l.turn.Store(int64(time.Since(l.begun))) }

// Notify asks for a pass. It never blocks.
func (l *Loop) Notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run calls pass until the context ends. The first Notify of a quiet time takes effect at once. full asks pass to look
// also at what it believes to have done.
func (l *Loop) Run(ctx context.Context, log *slog.Logger, pass func(ctx context.Context, full bool) error) {
	ticker := time.NewTicker(l.Check)
	defer ticker.Stop()
	beat := time.NewTicker(l.Beat)
	defer beat.Stop()
	full := false
	for {
		l.turns()
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-ticker.C:
			full = true
		case <-beat.C:
			continue
		}
		l.turns() // a pass has all the time from here
		pause, due := l.Settle, full
		full = false
		if err := pass(ctx, due); err != nil && ctx.Err() == nil {
			log.Error("pass failed", "error", err)
			pause, full = l.Retry, due
			l.Notify()
		}
		l.turns()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
