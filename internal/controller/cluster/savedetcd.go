package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/policy"
)

// holdEvery is how often it is written down that the time of an upgrade does not pass.
const holdEvery = 10 * time.Second

// holdUpgrade has the time that the old version may take to come up begin anew while etcd is
// ill: what was saved before the upgrade must not take the place of what is written because
// of the time that etcd took to be well again.
func (r *reconciler) holdUpgrade(ctx context.Context, p *pass, w upgradeWorld) error {
	up := p.cluster.Status.Upgrade
	if !w.etcdIll || p.now.Sub(up.PhaseSince.Time) < holdEvery {
		return nil
	}
	next := up.DeepCopy()
	next.PhaseSince = metav1.NewTime(p.now)
	return r.persist(ctx, p, next)
}

// dropSnapshot gives up what was saved before an upgrade, since it is on a volume that goes,
// or may be of a member that held other data than the others. Before anything was changed
// it is saved anew; later, it is said what that means.
func (r *reconciler) dropSnapshot(ctx context.Context, p *pass) (string, error) {
	up := p.cluster.Status.Upgrade
	if !up.UnderWay() || up.Snapshot == "" {
		return "", nil
	}
	next := up.DeepCopy()
	if up.Phase == v1beta1.UpgradeSnapshot {
		next.Snapshot = snapshotName(up.From, up.To, p.now)
		return "", r.persist(ctx, p, next)
	}
	next.Snapshot = ""
	return fmt.Sprintf(". What was saved before the upgrade to Kubernetes %s is not put back any more", up.To), r.persist(ctx, p, next)
}

// etcdIllNow says whether etcd is ill, as of some seconds ago. It decides where only this keeps
// what was saved before the upgrade from being put back.
func (r *reconciler) etcdIllNow(ctx context.Context, p *pass, decides bool) bool {
	known, asked := r.etcds.get(p.cluster.UID)
	if !asked || !known.counts(p.now, decides) {
		known = health{ill: r.etcdIll(ctx, p.cluster), at: p.now}
		r.etcds.set(p.cluster.UID, known)
	}
	return known.ill
}

// etcdIll says whether etcd does not answer, or has raised an alarm.
func (r *reconciler) etcdIll(ctx context.Context, cluster *v1beta1.ManagedCluster) bool {
	target, err := r.standingEtcd(ctx, cluster)
	if err != nil {
		return true
	}
	alarms, err := r.Members.Alarms(ctx, target)
	return err != nil || len(alarms) > 0
}

// standingEtcd is how the etcd that was rendered last is reached.
func (r *reconciler) standingEtcd(ctx context.Context, cluster *v1beta1.ManagedCluster) (etcd.Target, error) {
	target, err := r.etcdWithout(ctx, cluster)
	if err != nil {
		return target, err
	}
	services := []string{controlplane.EtcdService}
	if replicas := cluster.Status.Replicas; policy.ReplicasShapeOf(replicas.At()).Addressed {
		services = nil
		for ordinal := range max(replicas.Members, 1) {
			services = append(services, controlplane.MemberName(ordinal))
		}
	}
	for _, name := range services {
		var service corev1.Service
		if err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespaceOf(cluster), Name: name}, &service); err != nil {
			return target, fmt.Errorf("address of etcd: %w", err)
		}
		if service.Spec.ClusterIP == "" {
			return target, errors.New("etcd has no address")
		}
		target.Endpoints = append(target.Endpoints, fmt.Sprintf("https://%s:%d", service.Spec.ClusterIP, controlplane.EtcdPort))
	}
	return target, nil
}
