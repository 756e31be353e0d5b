package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// errSilent says that a store has said nothing for too long.
var errSilent = errors.New("it says nothing")

// callsAtOnce is how many calls for one cluster may be with one store.
const callsAtOnce = 4

// calls are those that are with stores. A directory whose server is away blocks them for as
// long as that lasts, whatever their context says: nobody waits for those, and they are few.
type calls struct {
	mu sync.Mutex
	// running counts them by what they are of, and stuck those that nobody waits for.
	running, stuck map[string]int
}

func newCalls() *calls { return &calls{running: map[string]int{}, stuck: map[string]int{}} }

// do calls f, and waits for it no longer than ctx says. What f shares with the caller it
// may use after that.
func (c *calls) do(ctx context.Context, of string, f func() error) error {
	c.mu.Lock()
	if c.running[of] >= callsAtOnce {
		c.mu.Unlock()
		return fmt.Errorf("%w: earlier calls have not returned", errSilent)
	}
	c.running[of]++
	c.mu.Unlock()
	ended, left := make(chan error, 1), false
	go func() {
		err := f()
		c.mu.Lock()
		defer c.mu.Unlock()
		less(c.running, of)
		if left {
			less(c.stuck, of)
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case err := <-ended:
		return err
	default:
	}
	left = true
	c.stuck[of]++
	return context.Cause(ctx)
}

func less(counts map[string]int, of string) {
	if counts[of]--; counts[of] <= 0 {
		delete(counts, of)
	}
}

// hangs says whether a call has not returned that nobody waits for any more.
func (c *calls) hangs(of string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stuck[of] > 0
}

// watchdog ends a call that waits for a store for too long. A nil one does not.
type watchdog struct {
	timer *time.Timer
	limit time.Duration
}

func newWatchdog(limit time.Duration, giveUp func()) *watchdog {
	return &watchdog{timer: time.AfterFunc(limit, giveUp), limit: limit}
}

func (w *watchdog) waits() {
	if w != nil {
		w.timer.Reset(w.limit)
	}
}

func (w *watchdog) goesOn() {
	if w != nil {
		w.timer.Stop()
	}
}

// watched is what a store is read by.
type watched struct {
	from io.Reader
	dog  *watchdog
	// err is why reading failed, which is not the fault of what is read.
	err error
}

// Read implements io.Reader.
func (r *watched) Read(p []byte) (int, error) {
	r.dog.waits()
	defer r.dog.goesOn()
	n, err := r.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// outlet is where a call writes to for as long as somebody waits for it.
type outlet struct {
	mu   sync.Mutex
	to   io.Writer
	shut bool
}

// Write implements io.Writer.
func (o *outlet) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut {
		return 0, io.ErrClosedPipe
	}
	return o.to.Write(p)
}

func (o *outlet) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut = true
}
