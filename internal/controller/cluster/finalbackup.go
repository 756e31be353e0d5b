package cluster

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// waitedFor is how long this Berth has waited for the final backup of a deleted cluster.
func (r *reconciler) waitedFor(p *pass) time.Duration {
	since, known := r.finals.get(p.cluster.UID)
	if !known {
		since = p.now
		r.finals.set(p.cluster.UID, since)
	}
	return p.now.Sub(since)
}

// finalEtcd starts the etcd of a control plane that does not run, for its final backup. It runs
// as it did last, and ends with everything else.
func (r *reconciler) finalEtcd(ctx context.Context, p *pass) error {
	if !policy.FinalBackupAlone(p.cluster) {
		return nil
	}
	var etcd appsv1.StatefulSet
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: controlplane.EtcdStatefulSet}, &etcd)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read etcd for the final backup: %w", err)
	}
	if etcd.Spec.Replicas == nil || *etcd.Spec.Replicas > 0 {
		return nil
	}
	members := int32(1)
	if replicas := p.cluster.Status.Replicas; replicas != nil {
		members = max(replicas.Members, members)
	}
	before := etcd.DeepCopy()
	etcd.Spec.Replicas = &members
	if err := r.client.Patch(ctx, &etcd, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("start etcd for the final backup: %w", err)
	}
	return nil
}
