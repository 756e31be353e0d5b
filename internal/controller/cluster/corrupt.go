package cluster

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/policy"
)

// corruption finds out, where etcd has raised the alarm CORRUPT, which member holds other
// data than the others, and tells the operator where nobody can (A3). While the alarm is
// raised no member is ready, so that it is looked for wherever one is not.
func (r *reconciler) corruption(ctx context.Context, p *pass, target etcd.Target, w *policy.EtcdWorld) error {
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
