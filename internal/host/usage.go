package host

import (
	"context"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// usageRecord is what in-use.json holds: the versions of Kubernetes that the clusters of a Berth
// use which is down, and which nobody can change before it is up again.
type usageRecord struct {
	Versions usage     `json:"versions"`
	Noted    time.Time `json:"noted"`
}

// usagePatience is how long the end of a Berth waits for what its clusters use.
const usagePatience = 10 * time.Second

// usedLast is what the clusters of a Berth use that is about to end, and where that is asked; nil if
// it cannot be.
func usedLast(ctx context.Context, paths Paths, p progress) (usage, client.Reader) {
	if runningSupervisor(paths) == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, usagePatience)
	defer cancel()
	asked := make(chan error, 1)
	var management *cluster
	var e estate
	go func() { // the client's first call heeds no context
		var err error
		if management, err = dial(paths); err == nil {
			e, err = readEstate(ctx, management)
		}
		asked <- err
	}()
	var err error
	select {
	case err = <-asked:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		p.say("         \"berth release remove\" has to wait for the next \"berth up\": %v", err)
		return nil, nil
	}
	return e.asked(), management
}

// usedWhile ends a Berth, and returns what its clusters use then: that is asked for as long as the API
// server answers, which is somewhat longer than the supervisor lets anybody in.
func usedWhile(ctx context.Context, end func() error, used usage, reader client.Reader) (usage, error) {
	if used == nil {
		return nil, end()
	}
	asking, enough := context.WithCancel(ctx)
	var asked sync.WaitGroup
	asked.Go(func() {
		_ = pollContext(asking, downPatience, func(ctx context.Context) (bool, error) {
			if e, err := readEstate(ctx, reader); err == nil {
				used = e.asked()
			}
			return false, nil
		})
	})
	err := end()
	enough()
	asked.Wait()
	return used, err
}

// noteUsage notes it when nothing can change it any more. Without a note it may be anything, so
// a full disk keeps no Berth up.
func noteUsage(paths Paths, used usage, p progress) {
	if used == nil {
		return
	}
	if err := writeJSON(paths.usageRecord(), usageRecord{Versions: used, Noted: time.Now().UTC()}); err != nil {
		p.say("         \"berth release remove\" has to wait for the next \"berth up\": %v", err)
	}
}
