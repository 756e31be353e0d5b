package containerservice

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// rollBack writes the version and node image of a body onto the profile if they are
// those that the pool had before (AKS: roll-back-node-pool-version), and says whether
// they are. A node image that is what was read is no wish; any other one is refused.
func (p provider) rollBack(ctx context.Context, found *view, pool *v1beta1.AgentPool, body *poolProperties, profile *v1beta1.AgentPoolProfile) (bool, error) {
	if pool == nil || body.NodeImageVersion == "" {
		return false, nil
	}
	in, err := p.rollbackInput(ctx, found, pool)
	if err != nil {
		return false, err
	}
	in.Kubernetes, _ = in.PoolTarget(valueOf(body.OrchestratorVersion), found.poolRunning(pool), found.running())
	in.NodeImage = body.NodeImageVersion
	back, violations := policy.Rollback(in)
	if len(violations) > 0 {
		return false, arm.Refusal(violations)
	}
	if back {
		profile.OrchestratorVersion, profile.NodeImageVersion = in.Kubernetes, in.NodeImage
		return true, nil
	}
	return false, p.refuseNewerImage(pool, body.NodeImageVersion, in.Kubernetes)
}

// refuseNewerImage refuses a node image that the pool neither has nor had, nor is
// asked to have already. The newest comes along with another Kubernetes version.
func (p provider) refuseNewerImage(pool *v1beta1.AgentPool, asked, kubernetes string) error {
	has := pool.Status.NodeImageVersion
	comes := asked == p.Catalogue.NodeImageVersion && kubernetes != pool.Status.CurrentOrchestratorVersion
	if has == "" || comes || asked == pool.Spec.NodeImageVersion || release.CompareNodeImages(asked, has) <= 0 {
		return nil
	}
	return arm.InvalidParameter("properties.nodeImageVersion",
		"The value of parameter properties.nodeImageVersion is invalid: agent pool '%s' has %s, and a PUT brings it back to one of its recentlyUsedVersions alone. Leave it out, or use upgradeNodeImageVersion for a newer one.", pool.Spec.Name, has)
}

// rollbackInput is all but the pair that a pool is asked to go back to.
func (p provider) rollbackInput(ctx context.Context, found *view, pool *v1beta1.AgentPool) (policy.RollbackInput, error) {
	var service v1beta1.ServicePolicy
	err := p.Client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service)
	if client.IgnoreNotFound(err) != nil {
		return policy.RollbackInput{}, fmt.Errorf("read ServicePolicy: %w", err)
	}
	return policy.RollbackInput{
		Pool: &pool.Status, AutoUpgrade: found.cluster.Spec.AutoUpgradeProfile, ControlPlane: found.running(),
		Versions: policy.Versions{Catalogue: p.Catalogue, Plan: found.cluster.Spec.SupportPlan, Now: p.Now()},
		Window:   policy.RollbackWindow(service.Spec),
	}, nil
}

// recentlyUsed are the versions that a pool can be rolled back to, at most one pair
// (AKS: roll-back-node-pool-version).
func (p provider) recentlyUsed(ctx context.Context, found *view, pool *v1beta1.AgentPool) ([]any, error) {
	in, err := p.rollbackInput(ctx, found, pool)
	if err != nil {
		return nil, err
	}
	used, ok := policy.RollbackTo(in)
	if !ok {
		return nil, nil
	}
	return []any{map[string]any{
		"orchestratorVersion": used.OrchestratorVersion, "nodeImageVersion": used.NodeImageVersion, "timestamp": used.Timestamp,
	}}, nil
}
