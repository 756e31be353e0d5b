package agentpool

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// keptVersions is how many versions a pool remembers for a rollback.
const keptVersions = 3

// noteUpgrade writes into the status how the pool's upgrade stands. The pool's own
// versions change when all of its nodes have them, and not before.
func noteUpgrade(status *v1beta1.AgentPoolStatus, v view) {
	upgrade := status.Upgrade
	if v.stage == stageHalted || v.stage == stageSettled {
		endUpgrade(upgrade, v)
	}
	if v.stage != stageRolling || upgrade == nil {
		return
	}
	plan := v.rollout
	if upgrade.Done != plan.replaced || plan.steps() {
		now := metav1.NewTime(v.now)
		upgrade.ProgressTime = &now
	}
	upgrade.Nodes, upgrade.Done, upgrade.Waiting = plan.nodes, plan.replaced, plan.waiting
	if plan.failure == nil {
		upgrade.Surge = plan.surge
	}
	if plan.failure != nil || plan.done {
		endUpgrade(upgrade, v)
	}
	if plan.failure == nil && plan.done {
		remember(status, v)
		status.CurrentOrchestratorVersion, status.NodeImageVersion, status.UnmanagedOS = v.goal.kubernetes, v.goal.image, v.goal.unmanaged
	}
}

func endUpgrade(upgrade *v1beta1.PoolUpgrade, v view) {
	if upgrade == nil || upgrade.EndTime != nil {
		return
	}
	now := metav1.NewTime(v.now)
	upgrade.EndTime, upgrade.Waiting = &now, ""
}

// remember keeps what the pool leaves, for a rollback (AKS:
// roll-back-node-pool-version).
func remember(status *v1beta1.AgentPoolStatus, v view) {
	left, goal := versions{kubernetes: status.CurrentOrchestratorVersion, image: status.NodeImageVersion}, v.goal.named()
	if left == goal {
		return
	}
	kept := []v1beta1.UsedVersion{{OrchestratorVersion: left.kubernetes, NodeImageVersion: left.image, Timestamp: metav1.NewTime(v.now)}}
	for _, used := range status.RecentlyUsedVersions {
		other := versions{kubernetes: used.OrchestratorVersion, image: used.NodeImageVersion}
		if other != left && other != goal && len(kept) < keptVersions {
			kept = append(kept, used)
		}
	}
	status.RecentlyUsedVersions = slices.Clip(kept)
}

// upgrading names the upgrade that goes on.
func upgrading(v view) v1beta1.ProvisioningState {
	if v.goal.kubernetes == v.pool.Status.CurrentOrchestratorVersion {
		return v1beta1.StateUpgradingNodeImage
	}
	return v1beta1.StateUpgrading
}

// abortedUpgrade is what a pool shows whose upgrade was aborted.
func abortedUpgrade(pool *v1beta1.AgentPool) *v1beta1.OperationError {
	return &v1beta1.OperationError{
		Code:    "OperationPreempted",
		Message: "The upgrade of agent pool " + pool.Spec.Name + " was aborted. Nodes that were replaced stay so; update the pool to go on.",
		Target:  pool.Spec.Name,
	}
}
