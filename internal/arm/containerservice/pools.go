package containerservice

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	if err := found.refusePut(p.Now()); err != nil {
		return nil, err
	}
	if pool != nil && !pool.DeletionTimestamp.IsZero() {
		return nil, arm.PendingOperation(name, string(v1beta1.StateDeleting))
	}
	found.ignoreEchoedPower(pool, &body.Properties, p.Now())
	profile, err := p.changedPool(ctx, r, found, pool, &body.Properties)
	if err != nil {
		return nil, err
	}
	back, err := p.rollBack(ctx, found, pool, &body.Properties, &profile)
	if err != nil {
		return nil, err
	}
	change := p.poolChange(found, profile)
	change.rollsBack = back
	input := policy.PoolInput{New: &profile, RollsBack: back, Others: found.others(name), Around: change.around(found)}
	if pool != nil {
		input.Old, input.Running = &pool.Spec.AgentPoolProfile, found.poolRunning(pool)
	}
	if err := p.refusePool(ctx, r, found, pool, input, change); err != nil {
		return nil, err
	}
	return p.writePool(ctx, r, found, profile, putState(input, change))
}

// refusePool refuses a pool that policy, what runs or the quota stand against. pool is
// nil for a new one.
func (p provider) refusePool(ctx context.Context, r *arm.Request, found *view, pool *v1beta1.AgentPool, input policy.PoolInput, change versionChange) error {
	if violations := policy.ValidatePool(input); len(violations) > 0 {
		return arm.Refusal(violations)
	}
	moves := change.moves()
	if pool == nil {
		moves = append(moves, policy.VersionMove{Target: "properties.orchestratorVersion", To: wanted(change, input.New.OrchestratorVersion, "")})
	}
	if err := p.refusePreview(ctx, r, change.Versions, moves); err != nil {
		return err
	}
	if err := found.refusePoolPower(pool, input.New); err != nil {
		return err
	}
	if err := p.refuseBlocked(ctx, found.cluster, &found.cluster.Spec, change); err != nil {
		return err
	}
	return p.refuseQuota(ctx, r, &found.cluster.Spec, []v1beta1.AgentPoolProfile{*input.New})
}

// changedPool merges a body into the pool that exists, or makes a new one of it. An
// empty version, other than none, asks an existing pool to match its control plane:
// so does `az aks nodepool upgrade` without a version.
func (p provider) changedPool(ctx context.Context, r *arm.Request, found *view, pool *v1beta1.AgentPool, body *poolProperties) (v1beta1.AgentPoolProfile, error) {
	profile, shown := v1beta1.AgentPoolProfile{Name: r.Parameter("pool")}, ""
	if pool != nil {
		profile, shown = *pool.Spec.AgentPoolProfile.DeepCopy(), found.poolVersion(pool)
	}
	err := applyPool(body, &profile, shown)
	switch {
	case err != nil:
		return profile, err
	case pool == nil:
		err = p.fromSnapshot(ctx, r, body.CreationData, &profile)
	default:
		err = refuseOtherSource(body.CreationData, &pool.Spec.AgentPoolProfile)
	}
	if asked := body.OrchestratorVersion; pool != nil && asked != nil && *asked == "" && found.poolRunning(pool) != found.running() {
		profile.OrchestratorVersion = found.running()
	}
	policy.DefaultPool(&profile, found.cluster.Spec.NetworkProfile, false)
	return profile, err
}

// writePool begins the operation, of the whole cluster if the PUT starts that (J5), and
// answers with the pool as it is then.
func (p provider) writePool(ctx context.Context, r *arm.Request, found *view, profile v1beta1.AgentPoolProfile, state v1beta1.ProvisioningState) (*arm.Response, error) {
	cluster, profiles := &found.cluster.Spec, []v1beta1.AgentPoolProfile{profile}
	asked := v1beta1.OperationSpec{
		Type: v1beta1.OperationPut, State: state, Target: poolTarget(r, cluster, profile.Name),
		Desired: &v1beta1.DesiredState{AgentPools: poolSpecs(cluster, profiles)},
	}
	if found.comesBack(p.Now()) {
		asked = found.reallocation(r, cluster.DeepCopy(), profiles)
	}
	op, err := p.Begin(ctx, r, asked)
	if err != nil {
		return nil, err
	}
	written, pool, err := p.requirePool(ctx, r)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if state == v1beta1.StateCreating {
		status = http.StatusCreated
	}
	return p.Accepted(operationsBase(r, cluster.Location), op, status, renderPool(r, written, pool)), nil
}

// putState is what a PUT of a pool is called while it runs.
func putState(in policy.PoolInput, change versionChange) v1beta1.ProvisioningState {
	switch {
	case in.Old == nil:
		return v1beta1.StateCreating
	case in.Old.PowerState.Wanted() != in.New.PowerState.Wanted():
		return powerStates[in.New.PowerState.Wanted()]
	case in.RollsBack && change.state() != v1beta1.StateUpgrading:
		return v1beta1.StateUpgradingNodeImage
	case change.state() == v1beta1.StateUpgrading:
		return v1beta1.StateUpgrading
	case valueOf(in.Old.Count) != valueOf(in.New.Count):
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
	past, err := ignoresBudgets(r)
	if err != nil {
		return nil, err
	}
	pool := found.pool(r.Parameter("pool"))
	if pool == nil {
		return arm.NoContent()
	}
	if err := r.CheckPreconditions(found.poolETag(pool)); err != nil {
		return nil, err
	}
	if found.cluster.DeletionTimestamp.IsZero() {
		if err := found.refusePower(policy.ActionChange, p.Now()); err != nil {
			return nil, err
		}
	}
	if violations := policy.ValidatePoolDelete(pool.Spec.AgentPoolProfile, found.others(pool.Spec.Name)); len(violations) > 0 && found.cluster.DeletionTimestamp.IsZero() {
		return nil, arm.Refusal(violations)
	}
	response, err := p.delete(ctx, r, pool, poolTarget(r, &found.cluster.Spec, pool.Spec.Name), found.cluster.Spec.Location)
	if err != nil || !past {
		return response, err
	}
	return response, p.passBudgets(ctx, pool)
}

// ignoresBudgets says whether a pool is to be deleted past disruption budgets (AKS:
// delete-node-pool).
func ignoresBudgets(r *arm.Request) (bool, error) {
	const name = "ignore-pod-disruption-budget"
	text := r.Query(name)
	if text == "" {
		return false, nil
	}
	asked, err := strconv.ParseBool(text)
	if err != nil {
		return false, arm.InvalidParameter(name, "The value of query parameter %s is invalid: it is true or false, not '%s'.", name, text)
	}
	return asked, nil
}

// passBudgets notes on a pool whose deletion has begun, now or before, that budgets do
// not hold it up any more.
func (p provider) passBudgets(ctx context.Context, pool *v1beta1.AgentPool) error {
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+v1beta1.AnnotationIgnoreBudgets+`":"true"}}}`))
	if err := p.Client.Patch(ctx, pool.DeepCopy(), patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("pass budgets of agent pool %s: %w", pool.Name, err)
	}
	return nil
}

func poolTarget(r *arm.Request, cluster *v1beta1.ManagedClusterSpec, name string) v1beta1.OperationTarget {
	return v1beta1.OperationTarget{
		Kind: v1beta1.TargetAgentPool, Name: v1beta1.ObjectName(cluster.ResourceGroup, cluster.Name, name),
		ResourceID: clusterID(r, cluster) + "/agentPools/" + name,
	}
}
