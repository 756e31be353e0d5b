package admission

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
)

// running is the version of a control plane: what runs, or what it will run.
func (r Rules) running(cluster *v1beta1.ManagedCluster) string {
	if cluster.Status.CurrentKubernetesVersion != "" {
		return cluster.Status.CurrentKubernetesVersion
	}
	resolved, _ := r.Catalogue.ResolveAt(cluster.Spec.KubernetesVersion, r.Now())
	return resolved.Version
}

func (r Rules) versions(cluster *v1beta1.ManagedCluster) policy.Versions {
	return policy.Versions{Catalogue: r.Catalogue, Plan: cluster.Spec.SupportPlan, Now: r.Now()}
}

// poolVersions are the versions of a cluster's pools beside its new one. A request
// through ARM writes the cluster first and its pools a moment later: what they will
// ask for stands in its operation.
func (r *clusterRules) poolVersions(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]policy.PoolVersion, error) {
	var pools v1beta1.AgentPoolList
	selector := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
	if err := r.Reader.List(ctx, &pools, client.InNamespace(cluster.Namespace), selector); err != nil {
		return nil, fmt.Errorf("list agent pools of %s: %w", cluster.Name, err)
	}
	asked, err := r.askedOfPools(ctx, cluster)
	if err != nil {
		return nil, err
	}
	versions, running := r.versions(cluster), r.running(cluster)
	target, _ := versions.Target(cluster.Spec.KubernetesVersion, running)
	var found []policy.PoolVersion
	for _, pool := range pools.Items {
		if !pool.DeletionTimestamp.IsZero() {
			continue
		}
		one := policy.PoolVersion{Name: pool.Spec.Name}
		one.Running, _ = versions.PoolTarget(pool.Spec.OrchestratorVersion, pool.Status.CurrentOrchestratorVersion, running)
		if pool.Status.CurrentOrchestratorVersion != "" {
			one.Running = pool.Status.CurrentOrchestratorVersion
		}
		one.Asked, _ = versions.PoolTarget(pool.Spec.OrchestratorVersion, one.Running, running)
		one.Wanted = one.Asked
		if version, named := asked[pool.Spec.Name]; named {
			one.Wanted, _ = versions.PoolTarget(version, one.Running, target)
		}
		found = append(found, one)
	}
	return found, nil
}

// askedOfPools are the pools' versions in the operation that writes the cluster.
func (r *clusterRules) askedOfPools(ctx context.Context, cluster *v1beta1.ManagedCluster) (map[string]string, error) {
	holder, err := operation.Active(ctx, r.Reader, cluster)
	if err != nil || holder == nil || holder.Spec.Desired == nil {
		return nil, err
	}
	asked := map[string]string{}
	for _, pool := range holder.Spec.Desired.AgentPools {
		asked[pool.Name] = pool.OrchestratorVersion
	}
	return asked, nil
}
