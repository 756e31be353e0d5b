package supportaccess

import (
	"sync"
	"time"
)

// Who tries credentials that are none is slowed down: after failureBurst wrong ones from an
// address, one more is looked at each failureRefill.
const (
	failureBurst  = 20
	failureRefill = 5 * time.Second
	// maxAddresses and maxRight bound the memory.
	maxAddresses = 4096
	maxRight     = 4096
)

// throttle counts wrong credentials by the address that they came from. It is safe for
// concurrent use. A credential that was right stays so for it until it is wrong: engineers
// behind one address do not lock each other out.
type throttle struct {
	mu sync.Mutex
	// by has when an address's last failure is forgiven: each one adds failureRefill.
	by map[string]time.Time
	// right are hashes of credentials.
	right map[string]struct{}
}

func newThrottle() *throttle {
	return &throttle{by: map[string]time.Time{}, right: map[string]struct{}{}}
}

// take counts a try as wrong before its outcome is known, so that no two tries share one
// permission. It returns how long to wait instead, if there is none.
func (t *throttle) take(address, kept string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.right[kept]; known {
		return 0
	}
	owed := max(t.by[address].Sub(now), 0)
	if wait := owed - (failureBurst-1)*failureRefill; wait > 0 {
		return wait
	}
	if _, known := t.by[address]; !known {
		t.makeRoom(now)
	}
	t.by[address] = now.Add(owed + failureRefill)
	return 0
}

// tell says how a try ended: right or wrong, if that is known.
func (t *throttle) tell(address, kept string, right, known bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, before := t.right[kept]
	if known && !right {
		if before { // nothing was counted yet
			delete(t.right, kept)
			t.by[address] = now.Add(max(t.by[address].Sub(now), 0) + failureRefill)
		}
		return
	}
	if until, counted := t.by[address]; counted && !before {
		t.by[address] = until.Add(-failureRefill)
	}
	if right {
		if len(t.right) >= maxRight {
			clear(t.right) // the next try of each puts it back
		}
		t.right[kept] = struct{}{}
	}
}

// makeRoom forgets addresses that have waited long enough and, if that does not help, the
// one that would have next: a flood of single failures does not push out who failed often.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.by) < maxAddresses {
		return
	}
	var next string
	var soonest time.Time
	for address, until := range t.by {
		if !until.After(now) {
			delete(t.by, address)
		} else if soonest.IsZero() || until.Before(soonest) {
			next, soonest = address, until
		}
	}
	if len(t.by) >= maxAddresses {
		delete(t.by, next)
	}
}
