package deletedcluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"berth.dev/berth/internal/backup"
)

const (
	// purgeTimeout bounds what is done in the stores for one cluster.
	purgeTimeout = 10 * time.Minute
	// moment is how long whoever begins a job waits for its end: most are short.
	moment = time.Second
	// turns is how many clusters a store works for at the same time.
	turns = 4
)

// jobs are done in stores for deleted clusters, beside those who look at them: a directory
// whose server is away blocks whoever asks it for as long as that lasts, and must keep
// neither the other stores nor the other clusters from their end.
type jobs struct {
	timeout time.Duration

	mu    sync.Mutex
	known map[string]*job
	turns map[string]chan struct{}
}

// job is one, in all stores at once.
type job struct {
	ends time.Time
	// cancel ends what heeds its context. dropped: nobody asks for its end any more.
	cancel  context.CancelFunc
	dropped bool
	done    chan struct{}
	// left are the stores that have not answered yet, and failed says why others could not.
	left   []string
	failed []error
}

func newJobs() *jobs {
	return &jobs{timeout: purgeTimeout, known: map[string]*job{}, turns: map[string]chan struct{}{}}
}

// do begins a job if it does not run, and says whether it has ended, and how. One that hangs
// is not begun again before it has returned, also if it was dropped.
func (j *jobs) do(name string, stores []string, in func(ctx context.Context, store string) error) (bool, error) {
	j.mu.Lock()
	found := j.known[name]
	if found == nil {
		found = j.begin(name, stores, in)
		j.known[name] = found
	}
	j.mu.Unlock()
	select {
	case <-found.done:
	case <-time.After(min(moment, j.timeout)):
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(found.left) == 0 {
		if found.dropped {
			return false, nil // what it did is another's
		}
		delete(j.known, name)
		return true, errors.Join(found.failed...)
	}
	if time.Now().After(found.ends) {
		return false, errors.Join(append(slices.Clone(found.failed), fmt.Errorf("no answer from %s", strings.Join(found.left, ", ")))...)
	}
	return false, nil
}

// drop ends a job that is not wanted any more. What it has found says nothing about the next
// one of its name.
func (j *jobs) drop(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	found := j.known[name]
	if found == nil {
		return
	}
	found.cancel()
	found.dropped = true
	if len(found.left) == 0 {
		delete(j.known, name)
	}
}

// begin starts a job in every store. The caller holds the lock.
func (j *jobs) begin(name string, stores []string, in func(ctx context.Context, store string) error) *job {
	ctx, cancel := context.WithCancel(context.Background())
	begun := &job{ends: time.Now().Add(j.timeout), cancel: cancel, done: make(chan struct{})}
	if len(stores) == 0 {
		cancel()
		close(begun.done)
	}
	for _, store := range stores {
		begun.left = append(begun.left, backup.Redact(store))
		if j.turns[store] == nil {
			j.turns[store] = make(chan struct{}, turns)
		}
		turn := j.turns[store]
		go func() {
			err := j.inTurn(ctx, turn, func(ctx context.Context) error { return in(ctx, store) })
			j.mu.Lock()
			defer j.mu.Unlock()
			if err != nil {
				begun.failed = append(begun.failed, err)
			}
			at := slices.Index(begun.left, backup.Redact(store))
			if begun.left = slices.Delete(begun.left, at, at+1); len(begun.left) > 0 {
				return
			}
			cancel()
			close(begun.done)
			if begun.dropped {
				delete(j.known, name)
			}
		}()
	}
	return begun
}

// inTurn waits until a store has a turn free. One that hangs has none, which is an error.
func (j *jobs) inTurn(ctx context.Context, turn chan struct{}, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return errors.New("a store has not answered for others for too long")
	}
	defer func() { <-turn }()
	if err := ctx.Err(); err != nil {
		return err // dropped while it waited
	}
	return do(ctx)
}
