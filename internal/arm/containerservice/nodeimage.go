package containerservice

import (
	"context"
	"net/http"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

// upgradeNodeImage brings a pool's nodes to the newest node image (F2). The
// Kubernetes version stays.
func (p provider) upgradeNodeImage(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, pool, err := p.requirePool(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := found.refuseChange(p.Now()); err != nil {
		return nil, err
	}
	if !pool.DeletionTimestamp.IsZero() {
		return nil, arm.PendingOperation(pool.Spec.Name, string(v1beta1.StateDeleting))
	}
	cluster, profile := &found.cluster.Spec, *pool.Spec.AgentPoolProfile.DeepCopy()
	profile.NodeImageVersion = p.Catalogue.NodeImageVersion
	if runs := pool.Status.CurrentOrchestratorVersion; runs != "" && !p.Catalogue.HasNewestImage(runs) {
		return nil, arm.Errorf(http.StatusBadRequest, policy.CodeOperationNotAllowed,
			"Operation is not allowed: there is no node image %s for Kubernetes %s, which agent pool '%s' runs. Upgrade the pool to a version of the release catalogue.",
			profile.NodeImageVersion, runs, profile.Name)
	}
	if profile.NodeImageVersion != pool.Status.NodeImageVersion {
		if err := p.refuseBlockedNodes(ctx, found.cluster, profile.Name); err != nil {
			return nil, err
		}
	}
	op, err := p.Begin(ctx, r, v1beta1.OperationSpec{
		Type: v1beta1.OperationPut, State: v1beta1.StateUpgradingNodeImage, Target: poolTarget(r, cluster, profile.Name),
		Desired: &v1beta1.DesiredState{AgentPools: poolSpecs(cluster, []v1beta1.AgentPoolProfile{profile})},
	})
	if err != nil {
		return nil, err
	}
	return p.Accepted(operationsBase(r, cluster.Location), op, http.StatusAccepted, nil), nil
}
