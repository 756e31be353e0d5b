package armtest

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// keep leaves what a deleted cluster can be recovered from.
func (w *World) keep(ctx context.Context, object client.Object, pools []v1beta1.AgentPool) error {
	cluster, ok := object.(*v1beta1.ManagedCluster)
	if !ok || cluster.Status.CurrentKubernetesVersion == "" {
		return nil
	}
	kept := &v1beta1.DeletedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: cluster.Spec.ID}}
	kept.Spec.Cluster, kept.Spec.DeletionDate = policy.RecoveredAs(cluster), metav1.NewTime(w.Now())
	kept.Spec.ScheduledPurgeDate = metav1.NewTime(w.Now().Add(policy.DefaultDeletedClusterRetention))
	for _, pool := range pools {
		if pool.Namespace == cluster.Namespace && v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName) == cluster.Name {
			kept.Spec.AgentPools = append(kept.Spec.AgentPools, pool.Spec)
		}
	}
	return client.IgnoreAlreadyExists(w.Client.Create(ctx, kept))
}

// letGo removes what is kept of a cluster that has come back.
func (w *World) letGo(ctx context.Context, cluster *v1beta1.ManagedCluster) error {
	kept := &v1beta1.DeletedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: cluster.Spec.ID}}
	return client.IgnoreNotFound(w.Client.Delete(ctx, kept))
}
