package cluster

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

// conditionPoolsCreated is true once spec.agentPoolProfiles has been acted on. It
// is never looked at again after that: the AgentPools are the truth.
const conditionPoolsCreated = "AgentPoolsCreated"

// pools makes the pools that a cluster's body names, once, and sees how all of
// its pools stand.
func (r *reconciler) pools(ctx context.Context, p *pass) (bool, error) {
	p.found.poolsCreated = meta.IsStatusConditionTrue(p.cluster.Status.Conditions, conditionPoolsCreated)
	if !p.found.poolsCreated {
		for i := range p.cluster.Spec.AgentPoolProfiles {
			err := r.client.Create(ctx, newPool(p.cluster, &p.cluster.Spec.AgentPoolProfiles[i]))
			if err != nil && !apierrors.IsAlreadyExists(err) {
				return false, fmt.Errorf("create agent pool %s: %w", p.cluster.Spec.AgentPoolProfiles[i].Name, err)
			}
		}
		p.found.poolsCreated = true
	}
	pools, err := r.poolsOf(ctx, r.client, p.cluster)
	if err != nil {
		return false, err
	}
	p.found.poolsReady = len(pools) >= len(p.cluster.Spec.AgentPoolProfiles) || p.cluster.Status.ObservedGeneration > 0
	names, err := r.namedPools(ctx, p.cluster)
	if err != nil {
		return false, err
	}
	for i := range pools {
		pool := &pools[i]
		asked := !slices.Contains(names, pool.Name) || pool.Annotations[v1beta1.AnnotationOperation] == p.cluster.Annotations[v1beta1.AnnotationOperation]
		p.found.addPool(pool, asked)
	}
	return true, nil
}

// namedPools are the pools that the operation asks for which asks for the cluster, while it
// is under way. It asks the cluster first, so that its pools may still say how the last
// attempt ended. They matter only where a pool's failure is the cluster's.
func (r *reconciler) namedPools(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]string, error) {
	name := cluster.Annotations[v1beta1.AnnotationOperation]
	if name == "" || cluster.Status.PowerState.Code != v1beta1.PowerStopped && !makingNodes(cluster.Status.ProvisioningState) {
		return nil, nil
	}
	op := &v1beta1.Operation{}
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: name}, op)
	if apierrors.IsNotFound(err) || err == nil && operation.Finished(op) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read operation %s: %w", name, err)
	}
	var names []string
	for _, object := range operation.Written(op) {
		if pool, ok := object.(*v1beta1.AgentPool); ok {
			names = append(names, pool.Name)
		}
	}
	return names, nil
}

func newPool(cluster *v1beta1.ManagedCluster, profile *v1beta1.AgentPoolProfile) *v1beta1.AgentPool {
	return &v1beta1.AgentPool{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cluster.Namespace,
			Name:      v1beta1.ObjectName(cluster.Spec.ResourceGroup, cluster.Spec.Name, profile.Name),
			Labels: map[string]string{
				v1beta1.LabelCluster:       operation.LabelValue(cluster.Name),
				v1beta1.LabelResourceGroup: operation.LabelValue(v1beta1.ObjectName(cluster.Spec.ResourceGroup)),
			},
			Finalizers: []string{v1beta1.Finalizer},
		},
		Spec: v1beta1.AgentPoolSpec{
			ResourceGroup: cluster.Spec.ResourceGroup, ClusterName: cluster.Spec.Name,
			AgentPoolProfile: *profile.DeepCopy(),
		},
	}
}

func (r *reconciler) poolsOf(ctx context.Context, reader client.Reader, cluster *v1beta1.ManagedCluster) ([]v1beta1.AgentPool, error) {
	var list v1beta1.AgentPoolList
	selector := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
	if err := reader.List(ctx, &list, client.InNamespace(cluster.Namespace), selector); err != nil {
		return nil, fmt.Errorf("list agent pools: %w", err)
	}
	return list.Items, nil
}
