package policy

import (
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// defaultRollbackWindow is AKS's (roll-back-node-pool-version).
const defaultRollbackWindow = 7 * 24 * time.Hour

// RollbackWindow is how long a pool can go back to what it had.
func RollbackWindow(service v1beta1.ServicePolicySpec) time.Duration {
	if service.RollbackWindow == nil {
		return defaultRollbackWindow
	}
	return service.RollbackWindow.Duration
}

// RollbackInput is a pool, and the pair of versions that it is asked to go to.
type RollbackInput struct {
	Kubernetes, NodeImage string
	// Pool is the pool's status: what it has and what it had.
	Pool *v1beta1.AgentPoolStatus
	// AutoUpgrade is the cluster's; a channel would undo a rollback.
	AutoUpgrade *v1beta1.AutoUpgradeProfile
	// Window is how long a version can be gone back to.
	Window time.Duration
	Now    time.Time
}

// RollsBack says whether what is asked for is a rollback: to the version and node
// image together that the pool left last, within the window, from newer ones, and
// with no channel of automatic upgrades. Anything else follows the rules of upgrades.
func RollsBack(in RollbackInput) bool {
	if len(in.Pool.RecentlyUsedVersions) == 0 || channelOf(in.AutoUpgrade) {
		return false
	}
	last := in.Pool.RecentlyUsedVersions[0]
	older := release.Compare(last.OrchestratorVersion, in.Pool.CurrentOrchestratorVersion)
	if older == 0 {
		older = release.CompareNodeImages(last.NodeImageVersion, in.Pool.NodeImageVersion)
	}
	return in.Kubernetes == last.OrchestratorVersion && in.NodeImage == last.NodeImageVersion &&
		older < 0 && in.Now.Sub(last.Timestamp.Time) <= in.Window
}

func channelOf(profile *v1beta1.AutoUpgradeProfile) bool {
	return profile != nil && profile.UpgradeChannel != "" && profile.UpgradeChannel != "none"
}
