package host

import (
	"context"
	"time"
)

// usageRecord is what in-use.json holds: the versions of Kubernetes that the clusters of a Berth
// use which is down, and which nobody can change before it is up again.
type usageRecord struct {
	Versions usage     `json:"versions"`
	Noted    time.Time `json:"noted"`
}

// usagePatience is how long the end of a Berth waits for what its clusters use.
const usagePatience = 10 * time.Second

// usedLast is what the clusters of a Berth use that is about to end; nil if it cannot be asked.
func usedLast(ctx context.Context, paths Paths, p progress) usage {
	if runningSupervisor(paths) == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, usagePatience)
	defer cancel()
	asked := make(chan error, 1)
	var e estate
	go func() { // the client's first call heeds no context
		var err error
		e, err = askEstate(ctx, paths)
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
		return nil
	}
	return e.asked()
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
