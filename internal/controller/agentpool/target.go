package agentpool

import (
	"fmt"
	"slices"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// CodeUpgradeFailed is AKS's error code of an upgrade that stopped
// (error-code-poddrainfailure).
const CodeUpgradeFailed = "UpgradeFailed"

// versions are what a node is made of.
type versions struct{ kubernetes, image string }

func specVersions(m *v1beta1.Machine) versions {
	return versions{m.Spec.KubernetesVersion, m.Spec.NodeImageVersion}
}

func madeVersions(m *v1beta1.Machine) versions {
	return versions{m.Status.KubernetesVersion, m.Status.NodeImageVersion}
}

func poolVersions(pool *v1beta1.AgentPool) versions {
	return versions{pool.Status.CurrentOrchestratorVersion, pool.Status.NodeImageVersion}
}

// target is what a pool's nodes shall be made of. Another Kubernetes version
// brings the newest node image along; without one, a node image only becomes newer
// (AKS: upgrade-node-image), unless the pool goes back to versions that it had.
func target(catalogue *release.Catalogue, pool *v1beta1.AgentPool, cluster *v1beta1.ManagedCluster) (versions, *v1beta1.OperationError) {
	kubernetes, failure := version(catalogue, pool, cluster)
	if failure != nil {
		return versions{}, failure
	}
	has, asked := poolVersions(pool), pool.Spec.NodeImageVersion
	goal := versions{kubernetes, has.image}
	runs := runningUpgrade(pool)
	switch {
	case runs != nil && runs.OrchestratorVersion == kubernetes && (asked == "" || asked == has.image || asked == runs.NodeImageVersion):
		// A build that brings a newer image does not change what has begun.
		goal.image = runs.NodeImageVersion
	case asked != "" && asked != has.image && (has.image == "" || release.CompareNodeImages(asked, has.image) > 0 || hadBefore(pool, versions{kubernetes, asked})):
		goal.image = asked
	case has.image == "" || kubernetes != has.kubernetes:
		goal.image = catalogue.NodeImageVersion
	}
	return goal, missing(catalogue, pool, goal)
}

func hadBefore(pool *v1beta1.AgentPool, wanted versions) bool {
	return slices.ContainsFunc(pool.Status.RecentlyUsedVersions, func(u v1beta1.UsedVersion) bool {
		return versions{u.OrchestratorVersion, u.NodeImageVersion} == wanted
	})
}

// missing says that the node image is no longer, or not yet, there.
func missing(catalogue *release.Catalogue, pool *v1beta1.AgentPool, goal versions) *v1beta1.OperationError {
	if goal == poolVersions(pool) || len(catalogue.NodeImages) == 0 {
		return nil
	}
	if _, ok := catalogue.MachineImage(goal.kubernetes, goal.image); ok {
		return nil
	}
	return &v1beta1.OperationError{
		Code: "InvalidParameter",
		Message: fmt.Sprintf("Node image %s is not available for Kubernetes %s. The newest is %s; berth nodeimage list has all.",
			goal.image, goal.kubernetes, catalogue.NodeImageVersion),
		Target: "properties.nodeImageVersion",
	}
}

// runningUpgrade is the pool's upgrade that has begun and not ended, or nil.
func runningUpgrade(pool *v1beta1.AgentPool) *v1beta1.PoolUpgrade {
	if upgrade := pool.Status.Upgrade; upgrade != nil && upgrade.EndTime == nil {
		return upgrade
	}
	return nil
}
