package containerservice

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// rollBack writes the version and node image of a body onto the profile if they are
// those that the pool had before (AKS: roll-back-node-pool-version), and says whether
// they are. Otherwise a node image in a body is what was read, and no wish.
func (p provider) rollBack(ctx context.Context, found *view, pool *v1beta1.AgentPool, body *poolProperties, profile *v1beta1.AgentPoolProfile) (bool, error) {
	if pool == nil || body.OrchestratorVersion == nil || body.NodeImageVersion == "" || len(pool.Status.RecentlyUsedVersions) == 0 {
		return false, nil
	}
	var service v1beta1.ServicePolicy
	err := p.Client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read ServicePolicy: %w", err)
	}
	back := policy.RollsBack(policy.RollbackInput{
		Kubernetes: *body.OrchestratorVersion, NodeImage: body.NodeImageVersion, Pool: &pool.Status,
		AutoUpgrade: found.cluster.Spec.AutoUpgradeProfile, Window: policy.RollbackWindow(service.Spec), Now: p.Now(),
	})
	if back {
		profile.OrchestratorVersion, profile.NodeImageVersion = *body.OrchestratorVersion, body.NodeImageVersion
	}
	return back, nil
}
