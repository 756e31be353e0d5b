package cluster

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/policy"
)

// tornAgain is how soon an etcd is looked at again that waits for the operator: all that its
// members hold is read for it.
const tornAgain = time.Minute

// torn remembers what was said of etcds that wait for the operator.
type torn struct {
	mu   sync.Mutex
	said map[types.UID]saying
}

type saying struct {
	message string
	at      time.Time
}

// known is what was said of a cluster's etcd just now; empty if it is to be looked at again.
func (t *torn) known(cluster types.UID, now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := t.said[cluster]; now.Sub(last.at).Abs() < tornAgain {
		return last.message
	}
	delete(t.said, cluster)
	return ""
}

func (t *torn) note(cluster types.UID, message string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said == nil {
		t.said = map[types.UID]saying{}
	}
	t.said[cluster] = saying{message, now}
}

// corruption finds out, where etcd has raised the alarm CORRUPT, which member holds other
// data than the others, and tells the operator where nobody can (A3). While the alarm is
// raised no member is ready, so that it is looked for wherever one is not.
func (r *reconciler) corruption(ctx context.Context, p *pass, target etcd.Target, w *policy.EtcdWorld) error {
	if message := r.torn.known(p.cluster.UID, p.now); message != "" {
		p.found.replicas.add(message)
		return nil
	}
	seen, err := r.Members.Corruption(ctx, target)
	if err != nil {
		return err
	}
	found := policy.EtcdCorruption{Alarmed: seen.Alarmed}
	for _, m := range seen.Members {
		found.Members = append(found.Members, policy.EtcdHash(m))
	}
	replacing := w.Replacing != nil
	w.Odd, _ = found.Odd()
	w.Agreed = found.Agreed(replacing)
	if message := policy.CorruptMessage(found, replacing); message != "" {
		p.found.replicas.add(message)
		r.torn.note(p.cluster.UID, message, p.now)
		r.events.Event(p.cluster, corev1.EventTypeWarning, "EtcdCorrupt", "Wait", message)
	}
	return nil
}

// tellAgrees records that the alarm was taken back, if that is what was done.
func (r *reconciler) tellAgrees(p *pass, action policy.EtcdAction) {
	if action == policy.EtcdDisarm {
		r.events.Event(p.cluster, corev1.EventTypeNormal, "EtcdAgrees", "Disarm", "all members of etcd hold the same again: the alarm CORRUPT was taken back, and etcd is read and written")
	}
}
