package agentpool

import (
	"fmt"
	"slices"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// CodeUpgradeFailed is AKS's error code of an upgrade that stopped
// (error-code-poddrainfailure).
const CodeUpgradeFailed = "UpgradeFailed"

// versions are what a node is made of.
type versions struct {
	kubernetes, image string
	// unmanaged: the node patches its operating system itself.
	unmanaged bool
}

// named are the versions alone, as a rollback knows them.
func (v versions) named() versions { return versions{kubernetes: v.kubernetes, image: v.image} }

func specVersions(m *v1beta1.Machine) versions {
	return versions{m.Spec.KubernetesVersion, m.Spec.NodeImageVersion, m.Spec.UnmanagedOS}
}

func madeVersions(m *v1beta1.Machine) versions {
	return versions{m.Status.KubernetesVersion, m.Status.NodeImageVersion, m.Status.UnmanagedOS}
}

// remake has a machine made of these versions.
func remake(m *v1beta1.Machine, of versions) {
	m.Spec.KubernetesVersion, m.Spec.NodeImageVersion, m.Spec.UnmanagedOS = of.kubernetes, of.image, of.unmanaged
}

func poolVersions(pool *v1beta1.AgentPool) versions {
	return versions{pool.Status.CurrentOrchestratorVersion, pool.Status.NodeImageVersion, pool.Status.UnmanagedOS}
}

func upgradeVersions(upgrade *v1beta1.PoolUpgrade) versions {
	return versions{upgrade.OrchestratorVersion, upgrade.NodeImageVersion, upgrade.UnmanagedOS}
}

// aim is what an upgrade makes of a pool's nodes.
type aim struct {
	versions
	// back: the pool goes back to a node image that it had (AKS:
	// roll-back-node-pool-version).
	back bool
}

// aimOf is how a pool goes to versions.
func aimOf(goal versions, pool *v1beta1.AgentPool) aim {
	return aim{goal, release.CompareNodeImages(goal.image, pool.Status.NodeImageVersion) < 0}
}

// of is what is made of one node: an upgrade that was taken back half done may have left it
// a newer image than the pool's, and an image never becomes older unless the pool goes back
// (AKS: upgrade-node-image).
func (a aim) of(m *v1beta1.Machine) versions {
	has := madeVersions(m)
	if has.kubernetes == "" || m.Status.Phase == v1beta1.MachineReimaged {
		has = specVersions(m)
	}
	made := a.versions
	if !a.back && has.kubernetes == made.kubernetes && release.CompareNodeImages(has.image, made.image) > 0 {
		made.image = has.image
	}
	return made
}

func (v versions) String() string {
	text := fmt.Sprintf("Kubernetes %s with the image %s", v.kubernetes, v.image)
	if v.unmanaged {
		text += ", which patch themselves"
	}
	return text
}

// target is what a pool's nodes shall be made of. Another Kubernetes version
// brings the newest node image along; without one, a node image only becomes newer
// (AKS: upgrade-node-image), unless the pool goes back to versions that it had. Nodes that
// begin or cease to patch themselves are reimaged, with the newest image that there is
// (AKS: auto-upgrade-node-os-image).
func target(catalogue *release.Catalogue, pool *v1beta1.AgentPool, cluster *v1beta1.ManagedCluster) (versions, *v1beta1.OperationError) {
	kubernetes, failure := version(catalogue, pool, cluster)
	if failure != nil {
		return versions{}, failure
	}
	has, asked := poolVersions(pool), pool.Spec.NodeImageVersion
	goal := versions{kubernetes, has.image, policy.UnmanagedOS(cluster.Spec.AutoUpgradeProfile)}
	runs := runningUpgrade(pool)
	switch {
	case runs != nil && runs.OrchestratorVersion == kubernetes && (asked == "" || asked == has.image || asked == runs.NodeImageVersion):
		// A build that brings a newer image does not change what has begun.
		goal.image = runs.NodeImageVersion
	case asked != "" && asked != has.image && (has.image == "" || release.CompareNodeImages(asked, has.image) > 0 || hadBefore(pool, versions{kubernetes: kubernetes, image: asked})):
		goal.image = asked
	case has.image == "" || kubernetes != has.kubernetes:
		goal.image = catalogue.NodeImageVersion
	case goal.unmanaged != has.unmanaged:
		goal.image = newestImage(catalogue, goal)
	}
	return goal, missing(catalogue, pool, goal)
}

// newestImage is the newest node image, where it is newer and was built for the version.
func newestImage(catalogue *release.Catalogue, of versions) string {
	newest := catalogue.NodeImageVersion
	if _, built := catalogue.MachineImage(of.kubernetes, newest); built && release.CompareNodeImages(newest, of.image) > 0 {
		return newest
	}
	return of.image
}

func hadBefore(pool *v1beta1.AgentPool, wanted versions) bool {
	return slices.ContainsFunc(pool.Status.RecentlyUsedVersions, func(u v1beta1.UsedVersion) bool {
		return versions{kubernetes: u.OrchestratorVersion, image: u.NodeImageVersion} == wanted
	})
}

// missing says that the node image is no longer, or not yet, there.
func missing(catalogue *release.Catalogue, pool *v1beta1.AgentPool, goal versions) *v1beta1.OperationError {
	if goal.named() == poolVersions(pool).named() || len(catalogue.NodeImages) == 0 {
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
