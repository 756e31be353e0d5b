package containerservice

import (
	"context"
	"net/http"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

func (p provider) listPools(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.requireParent(ctx, r)
	if err != nil {
		return nil, err
	}
	items := make([]arm.Item, 0, len(found.pools))
	for i := range found.pools {
		items = append(items, arm.Item{Key: found.pools[i].Spec.Name, Body: renderPool(r, found, &found.pools[i])})
	}
	return p.Page(r, items)
}

// requirePool finds the pool that the path names, or says what is missing.
func (p provider) requirePool(ctx context.Context, r *arm.Request) (*view, *v1beta1.AgentPool, error) {
	found, err := p.requireParent(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	pool := found.pool(r.Parameter("pool"))
	if pool == nil {
		return nil, nil, arm.ResourceNotFound(poolType, found.cluster.Spec.Name+"/"+r.Parameter("pool"), found.cluster.Spec.ResourceGroup)
	}
	return found, pool, nil
}

func (p provider) getPool(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, pool, err := p.requirePool(ctx, r)
	if err != nil {
		return nil, err
	}
	return tagged(http.StatusOK, found.poolETag(pool), renderPool(r, found, pool)), nil
}

func (p provider) putPool(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.requireParent(ctx, r)
	if err != nil {
		return nil, err
	}
	var body poolBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	name := r.Parameter("pool")
	pool := found.pool(name)
	if err := r.CheckPreconditions(found.poolETag(pool)); err != nil {
		return nil, err
	}
	if err := found.refuseDeleting(); err != nil {
		return nil, err
	}
	if pool != nil && !pool.DeletionTimestamp.IsZero() {
		return nil, arm.PendingOperation(name, string(v1beta1.StateDeleting))
	}
	profile, old, running := v1beta1.AgentPoolProfile{Name: name}, (*v1beta1.AgentPoolProfile)(nil), ""
	if pool != nil {
		old, running = &pool.Spec.AgentPoolProfile, found.poolVersion(pool)
		profile = *old.DeepCopy()
	}
	if err := applyPool(&body.Properties, &profile, running); err != nil {
		return nil, err
	}
	if old == nil {
		err = p.fromSnapshot(ctx, r, body.Properties.CreationData, &profile)
	} else {
		err = refuseOtherSource(body.Properties.CreationData, old)
	}
	if err != nil {
		return nil, err
	}
	policy.DefaultPool(&profile, found.cluster.Spec.NetworkProfile, false)
	violations := policy.ValidatePool(policy.PoolInput{Old: old, New: &profile, Others: found.others(name), Around: found.around(p.Catalogue)})
	if len(violations) > 0 {
		return nil, arm.Refusal(violations)
	}
	return p.writePool(ctx, r, found, old, profile)
}

// writePool begins the operation and answers with the pool as it is then.
func (p provider) writePool(ctx context.Context, r *arm.Request, found *view, old *v1beta1.AgentPoolProfile, profile v1beta1.AgentPoolProfile) (*arm.Response, error) {
	cluster := &found.cluster.Spec
	op, err := p.Begin(ctx, r, v1beta1.OperationSpec{
		Type: v1beta1.OperationPut, State: putState(old, &profile), Target: poolTarget(r, cluster, profile.Name),
		Desired: &v1beta1.DesiredState{AgentPools: poolSpecs(cluster, []v1beta1.AgentPoolProfile{profile})},
	})
	if err != nil {
		return nil, err
	}
	written, pool, err := p.requirePool(ctx, r)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if old == nil {
		status = http.StatusCreated
	}
	return p.Accepted(operationsBase(r, cluster.Location), op, status, renderPool(r, written, pool)), nil
}

// putState is what a PUT of a pool is called while it runs.
func putState(old, profile *v1beta1.AgentPoolProfile) v1beta1.ProvisioningState {
	switch {
	case old == nil:
		return v1beta1.StateCreating
	case valueOf(old.Count) != valueOf(profile.Count):
		return v1beta1.StateScaling
	default:
		return v1beta1.StateUpdating
	}
}

func (p provider) deletePool(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.requireParent(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.Query("ignore-pod-disruption-budget") == "true" {
		return nil, arm.InvalidParameter("ignore-pod-disruption-budget", "The query parameter ignore-pod-disruption-budget is not supported yet: deleting a pool respects budgets until the drain timeout.")
	}
	pool := found.pool(r.Parameter("pool"))
	if pool == nil {
		return arm.NoContent()
	}
	if err := r.CheckPreconditions(found.poolETag(pool)); err != nil {
		return nil, err
	}
	if violations := policy.ValidatePoolDelete(pool.Spec.AgentPoolProfile, found.others(pool.Spec.Name)); len(violations) > 0 && found.cluster.DeletionTimestamp.IsZero() {
		return nil, arm.Refusal(violations)
	}
	return p.delete(ctx, r, pool, poolTarget(r, &found.cluster.Spec, pool.Spec.Name), found.cluster.Spec.Location)
}

func poolTarget(r *arm.Request, cluster *v1beta1.ManagedClusterSpec, name string) v1beta1.OperationTarget {
	return v1beta1.OperationTarget{
		Kind: v1beta1.TargetAgentPool, Name: v1beta1.ObjectName(cluster.ResourceGroup, cluster.Name, name),
		ResourceID: clusterID(r, cluster) + "/agentPools/" + name,
	}
}
