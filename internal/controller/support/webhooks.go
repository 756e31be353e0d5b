package support

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/policy/support"
)

// webhookTime is how long a managed cluster may take to tell its webhooks: a look at
// another cluster waits for it.
const webhookTime = 5 * time.Second

// looks are what was last seen of webhooks, by the clusters' UIDs. They are read once in
// an interval, however often a cluster is judged.
type looks struct {
	mu   sync.Mutex
	seen map[types.UID]look
}

// look is one look at a cluster's webhooks.
type look struct {
	at     time.Time
	found  []support.Webhook
	failed bool
}

// of is the last look at a cluster, if it is not older than an interval. A time in the
// future is one of a clock that went back.
func (l *looks) of(cluster types.UID, interval time.Duration, now time.Time) (look, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.seen[cluster]
	age := now.Sub(last.at)
	return last, ok && age >= 0 && age < interval
}

func (l *looks) keep(cluster types.UID, one look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[types.UID]look{}
	}
	l.seen[cluster] = one
}

func (l *looks) forget(cluster types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, cluster)
}

// webhooks sees the customer's that can hold the system up. A stopped cluster has nothing
// that they could; one that does not answer is one of which nothing is known.
func (r *reconciler) webhooks(ctx context.Context, o *observation) {
	if r.Webhooks == nil || o.evidence.Stopped {
		return
	}
	if o.cluster.Status.APIServerReady == nil {
		o.evidence.WebhooksUnknown = true
		return
	}
	last, fresh := r.looks.of(o.cluster.UID, o.plan.Interval, o.now)
	if !fresh {
		reading, cancel := context.WithTimeout(ctx, webhookTime)
		defer cancel()
		found, err := r.Webhooks(reading, o.cluster)
		last = look{at: o.now, found: found, failed: err != nil}
		r.looks.keep(o.cluster.UID, last)
	}
	o.evidence.Webhooks, o.evidence.WebhooksUnknown = last.found, last.failed
}
