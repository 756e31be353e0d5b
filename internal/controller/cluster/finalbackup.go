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

// finalsAtOnce is for how many final backups etcds are started alone at a time: the management
// cluster has room for the control planes that run.
const finalsAtOnce = 4

// final is since when a final backup is waited for, and whether etcd runs alone for it.
type final struct {
	since time.Time
	alone bool
}

// awaitFinal says whether a deleted cluster stays as it is, since its final backup is waited for.
func (r *reconciler) awaitFinal(ctx context.Context, p *pass) (bool, error) {
	if !policy.FinalBackupPending(p.cluster, 0) {
		return false, nil
	}
	waited, turn := r.waitedFor(p)
	if !turn {
		p.lookIn(lookAgain)
		return true, nil
	}
	if !policy.FinalBackupPending(p.cluster, waited) {
		return false, nil
	}
	p.lookIn(lookAtFinal)
	return true, r.finalEtcd(ctx, p)
}

// waitedFor is how long this Berth has waited for the final backup of a deleted cluster, and
// whether it is its turn.
func (r *reconciler) waitedFor(p *pass) (waited time.Duration, turn bool) {
	if now, known := r.finals.get(p.cluster.UID); known {
		return p.now.Sub(now.since), true
	}
	alone := policy.FinalBackupAlone(p.cluster)
	running := r.finals.count(func(f final) bool { return f.alone && p.now.Sub(f.since) < policy.FinalBackupLimit })
	if alone && running >= finalsAtOnce {
		return 0, false
	}
	r.finals.set(p.cluster.UID, final{p.now, alone})
	return 0, true
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
