package addon

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/tenant"
)

// keeper remembers of each managed object how it is when all is well, and so knows which
// was changed. It forgets everything with the process: the first pass of the next one
// looks at every object. It is safe for concurrent use.
type keeper struct {
	// look is how an object is now, as far as the watches know.
	look func(clusterID string, ref tenant.Ref) (seen sight, there, known bool)

	mu       sync.Mutex
	clusters map[string]*record
}

// record is one cluster's.
type record struct {
	cluster types.NamespacedName
	objects map[tenant.Ref]*kept
}

// kept is one object's.
type kept struct {
	// rendered is the hash of what was applied, at when that was last looked at, and good
	// how the object was then.
	rendered [sha256.Size]byte
	at       time.Time
	good     sight
	// dirty: it is not so any more.
	dirty bool
	// times is how often it was put back without calm between, last when, and by what was
	// written that was.
	times int
	last  time.Time
	by    string
}

func newKeeper(look func(string, tenant.Ref) (sight, bool, bool)) *keeper {
	return &keeper{look: look, clusters: map[string]*record{}}
}

// begin tells of a cluster whose objects are about to be looked at.
func (k *keeper) begin(clusterID string, cluster types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.clusters[clusterID] == nil {
		k.clusters[clusterID] = &record{objects: map[tenant.Ref]*kept{}}
	}
	k.clusters[clusterID].cluster = cluster
}

// forget has every object of a cluster looked at in its next pass.
func (k *keeper) forget(clusterID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.clusters, clusterID)
}

// idOf is the id of a cluster that is known by its name.
func (k *keeper) idOf(cluster types.NamespacedName) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, r := range k.clusters {
		if r.cluster == cluster {
			return id, true
		}
	}
	return "", false
}

// changed takes in what a watch saw. It says whose pass is needed for it, if one is that
// was not asked for yet.
func (k *keeper) changed(clusterID string, ref tenant.Ref) (types.NamespacedName, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.clusters[clusterID]
	if r == nil {
		return types.NamespacedName{}, false
	}
	o := r.objects[ref]
	if o == nil {
		// Not rendered, or not yet. What Berth made and does not render is to go.
		seen, there, _ := k.look(clusterID, ref)
		return r.cluster, there && seen.ours
	}
	before := o.dirty
	o.dirty = k.differs(clusterID, ref, o)
	return r.cluster, o.dirty && !before
}

// differs needs the lock.
func (k *keeper) differs(clusterID string, ref tenant.Ref, o *kept) bool {
	seen, there, known := k.look(clusterID, ref)
	return known && (!there || seen != o.good)
}

// due says whether an object is to be looked at now.
func (k *keeper) due(clusterID string, ref tenant.Ref, rendered [sha256.Size]byte, plan policy.PutBackPlan, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.clusters[clusterID].objects[ref]
	switch {
	case o == nil || o.rendered != rendered:
		return true
	case o.dirty:
		return !now.Before(o.last.Add(o.wait(plan, now)))
	default:
		return now.Sub(o.at) >= plan.Check
	}
}

// wait is how long after it was last put back it is so again.
func (o *kept) wait(plan policy.PutBackPlan, now time.Time) time.Duration {
	if plan.Calmed(o.last, now) {
		return 0
	}
	return plan.Wait(o.times)
}

// known is what is remembered of an object; false if it was never looked at.
func (k *keeper) known(clusterID string, ref tenant.Ref) (kept, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if o := k.clusters[clusterID].objects[ref]; o != nil {
		return *o, true
	}
	return kept{}, false
}

// brought remembers that an object is now as rendered.
func (k *keeper) brought(clusterID string, ref tenant.Ref, rendered [sha256.Size]byte, good sight, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.clusters[clusterID]
	if r.objects[ref] == nil {
		r.objects[ref] = &kept{}
	}
	o := r.objects[ref]
	o.rendered, o.good, o.at = rendered, good, now
	// The watch may have told of a change that came since; more often it has not told of
	// this one yet, and will.
	o.dirty = k.differs(clusterID, ref, o)
}

// putBack counts, and says how long the next change of the object will wait.
func (k *keeper) putBack(clusterID string, ref tenant.Ref, by string, plan policy.PutBackPlan, now time.Time) (times int, wait time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.clusters[clusterID].objects[ref]
	if plan.Calmed(o.last, now) {
		o.times = 0
	}
	o.times, o.last, o.by = o.times+1, now, by
	return o.times, o.wait(plan, now)
}

// next is after what time a cluster needs a pass without being told.
func (k *keeper) next(clusterID string, plan policy.PutBackPlan, now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := plan.Check
	for _, o := range k.clusters[clusterID].objects {
		wait := o.wait(plan, now)
		if o.dirty {
			next = min(next, o.last.Add(wait).Sub(now))
		}
		if wait > 0 {
			next = min(next, o.last.Add(plan.Calm).Sub(now)) // when the condition ends
		}
	}
	return max(next, settle)
}

// contested tells of the objects that are put back with a delay; empty for none.
func (k *keeper) contested(clusterID string, plan policy.PutBackPlan, now time.Time) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for ref, o := range k.clusters[clusterID].objects {
		if wait := o.wait(plan, now); wait > 0 {
			all = append(all, fmt.Sprintf("%s was put back %d times, last after %s; the next time waits %s", ref, o.times, o.by, wait))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// drop forgets an object that is no longer rendered.
func (k *keeper) drop(clusterID string, wanted map[tenant.Ref]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for ref := range k.clusters[clusterID].objects {
		if !wanted[ref] {
			delete(k.clusters[clusterID].objects, ref)
		}
	}
}
