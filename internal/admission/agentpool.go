package admission

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

type poolRules struct{ Rules }

// Default fills what was left out of a pool and labels it with its cluster.
func (r *poolRules) Default(ctx context.Context, pool *v1beta1.AgentPool) error {
	name := v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName)
	if pool.Labels == nil {
		pool.Labels = map[string]string{}
	}
	pool.Labels[v1beta1.LabelCluster] = operation.LabelValue(name)
	pool.Labels[v1beta1.LabelResourceGroup] = operation.LabelValue(v1beta1.ObjectName(pool.Spec.ResourceGroup))
	var cluster v1beta1.ManagedCluster
	if err := r.Reader.Get(ctx, client.ObjectKey{Namespace: pool.Namespace, Name: name}, &cluster); err != nil {
		return client.IgnoreNotFound(err)
	}
	others, err := r.pools(ctx, pool.Namespace, name, pool.Name)
	if err != nil {
		return err
	}
	policy.DefaultPool(&pool.Spec.AgentPoolProfile, cluster.Spec.NetworkProfile, len(others) == 0)
	return nil
}

// ValidateCreate refuses what a PUT through ARM would be refused for.
func (r *poolRules) ValidateCreate(ctx context.Context, pool *v1beta1.AgentPool) (admission.Warnings, error) {
	want := v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName, pool.Spec.Name)
	if pool.Name != want {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("metadata.name is %q; the pool %s of cluster %s is named %q", pool.Name, pool.Spec.Name, pool.Spec.ClusterName, want))
	}
	return nil, r.check(ctx, nil, pool)
}

// ValidateUpdate refuses changes that a PUT through ARM would be refused for.
func (r *poolRules) ValidateUpdate(ctx context.Context, old, pool *v1beta1.AgentPool) (admission.Warnings, error) {
	if !pool.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	return nil, r.check(ctx, &old.Spec.AgentPoolProfile, pool)
}

// ValidateDelete keeps a pool that is locked, and a cluster's last system pool, unless the
// cluster goes too.
func (r *poolRules) ValidateDelete(ctx context.Context, pool *v1beta1.AgentPool) (admission.Warnings, error) {
	name := v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName)
	var cluster v1beta1.ManagedCluster
	if err := r.Reader.Get(ctx, client.ObjectKey{Namespace: pool.Namespace, Name: name}, &cluster); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if goes, err := r.goesAnyway(ctx, pool, &cluster); err != nil || goes {
		return nil, err
	}
	if err := r.refuseLocked(ctx, pool, "agentpools", operation.PoolID(pool)); err != nil {
		return nil, err
	}
	if found := policy.ValidatePower(policy.ActionChange, policy.PowerOf(&cluster, r.Now())); len(found) > 0 {
		return nil, refusal("AgentPool", pool.Name, found)
	}
	others, err := r.pools(ctx, pool.Namespace, name, pool.Name)
	if err != nil {
		return nil, err
	}
	return nil, refusal("AgentPool", pool.Name, policy.ValidatePoolDelete(pool.Spec.AgentPoolProfile, others))
}

// reallocates says whether a pool becomes what the operation asks for that brings its
// archived cluster back.
func (r *poolRules) reallocates(ctx context.Context, cluster *v1beta1.ManagedCluster, pool *v1beta1.AgentPool) (bool, error) {
	holder, err := operation.Active(ctx, r.Reader, cluster)
	if err != nil || holder == nil || holder.Spec.State != v1beta1.StateStarting || holder.Spec.Desired == nil || pool.Annotations[v1beta1.AnnotationOperation] != holder.Name {
		return false, err
	}
	return slices.ContainsFunc(holder.Spec.Desired.AgentPools, func(asked v1beta1.AgentPoolSpec) bool { return equality.Semantic.DeepEqual(asked, pool.Spec) }), nil
}

func (r *poolRules) check(ctx context.Context, old *v1beta1.AgentPoolProfile, pool *v1beta1.AgentPool) error {
	name := v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName)
	var cluster v1beta1.ManagedCluster
	if err := r.Reader.Get(ctx, client.ObjectKey{Namespace: pool.Namespace, Name: name}, &cluster); err != nil {
		if apierrors.IsNotFound(err) {
			return apierrors.NewBadRequest(fmt.Sprintf("cluster %q does not exist in namespace %s; create it first", name, pool.Namespace))
		}
		return fmt.Errorf("read cluster %s: %w", name, err)
	}
	// An operation that starts or stops the cluster claims its pools as they are, or, where it
	// brings an archived one back, as it changes them (J5).
	if old == nil || !equality.Semantic.DeepEqual(*old, pool.Spec.AgentPoolProfile) {
		var found []policy.Violation
		if comesBack, err := r.reallocates(ctx, &cluster, pool); err != nil {
			return err
		} else if !comesBack {
			found = policy.ValidatePower(policy.ActionChange, policy.PowerOf(&cluster, r.Now()))
		}
		found = append(found, policy.ValidatePoolPower(policy.PoolPowerInput{
			Old: old, New: &pool.Spec.AgentPoolProfile, State: pool.Status.ProvisioningState, Power: pool.Status.PowerState,
		})...)
		if len(found) > 0 {
			return refusal("AgentPool", pool.Name, found)
		}
	}
	others, err := r.pools(ctx, pool.Namespace, name, pool.Name)
	if err != nil {
		return err
	}
	versions := r.versions(&cluster)
	beside, err := r.controlPlane(ctx, &cluster)
	if err != nil {
		return err
	}
	back, refused, err := r.rollsBack(ctx, &cluster, old, pool)
	if err != nil {
		return err
	}
	found := append(refused, policy.ValidatePool(policy.PoolInput{
		Old: old, New: &pool.Spec.AgentPoolProfile, RollsBack: back || len(refused) > 0, Running: pool.Status.CurrentOrchestratorVersion, Others: others,
		Around: policy.PoolsInput{Network: cluster.Spec.NetworkProfile, ClusterVersion: beside, Versions: versions},
	})...)
	err = refusal("AgentPool", pool.Name, siblings(ctx, r, &cluster, found))
	if err != nil || old == nil || !nodesChange(old, &pool.Spec.AgentPoolProfile) {
		return err
	}
	return r.gatePool(ctx, &cluster, old, pool)
}

// nodesChange says whether a pool is asked for other nodes than before.
func nodesChange(old, asked *v1beta1.AgentPoolProfile) bool {
	return old.OrchestratorVersion != asked.OrchestratorVersion || old.NodeImageVersion != asked.NodeImageVersion
}

// rollsBack says whether a pool goes back to the versions that it had, and why it
// cannot.
func (r *poolRules) rollsBack(ctx context.Context, cluster *v1beta1.ManagedCluster, old *v1beta1.AgentPoolProfile, pool *v1beta1.AgentPool) (bool, []policy.Violation, error) {
	if old == nil || !nodesChange(old, &pool.Spec.AgentPoolProfile) {
		return false, nil, nil
	}
	var service v1beta1.ServicePolicy
	err := r.Reader.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service)
	if client.IgnoreNotFound(err) != nil {
		return false, nil, fmt.Errorf("read ServicePolicy: %w", err)
	}
	in := policy.RollbackInput{
		NodeImage: pool.Spec.NodeImageVersion, Pool: &pool.Status, AutoUpgrade: cluster.Spec.AutoUpgradeProfile,
		ControlPlane: r.running(cluster), Versions: r.versions(cluster), Window: policy.RollbackWindow(service.Spec),
	}
	in.Kubernetes, _ = in.PoolTarget(pool.Spec.OrchestratorVersion, pool.Status.CurrentOrchestratorVersion, in.ControlPlane)
	// An image that was asked for before is no new wish beside another version.
	running := pool.Status.CurrentOrchestratorVersion
	if old.NodeImageVersion == in.NodeImage && release.Compare(in.Kubernetes, running) >= 0 {
		return false, nil, nil
	}
	back, refused := policy.Rollback(in)
	return back, refused, nil
}

// controlPlane is the version that a pool is checked against: what the control plane
// runs, or, while a request for the whole cluster is being written, what it will run.
func (r *poolRules) controlPlane(ctx context.Context, cluster *v1beta1.ManagedCluster) (string, error) {
	running := r.running(cluster)
	holder, err := operation.Active(ctx, r.Reader, cluster)
	if err != nil || holder == nil {
		return running, err
	}
	target, ok := r.versions(cluster).Target(cluster.Spec.KubernetesVersion, running)
	if !ok {
		return running, nil
	}
	return target, nil
}

// siblings drops the demand for a system pool while the operation that creates
// the cluster is still writing its other pools: the whole was checked before.
func siblings(ctx context.Context, r *poolRules, cluster *v1beta1.ManagedCluster, found []policy.Violation) []policy.Violation {
	holder, err := operation.Active(ctx, r.Reader, cluster)
	if err != nil || holder == nil {
		return found
	}
	kept := found[:0]
	for _, v := range found {
		if v.Target != "agentPoolProfile.mode" || v.Code != policy.CodeOperationNotAllowed {
			kept = append(kept, v)
		}
	}
	return kept
}
