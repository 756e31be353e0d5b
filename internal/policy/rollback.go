package policy

import (
	"fmt"
	"slices"
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
	// Kubernetes and NodeImage are exact.
	Kubernetes, NodeImage string
	// Pool is the pool's status: what it has and what it had.
	Pool *v1beta1.AgentPoolStatus
	// AutoUpgrade is the cluster's; a channel would undo a rollback.
	AutoUpgrade *v1beta1.AutoUpgradeProfile
	// ControlPlane is the version that the control plane runs.
	ControlPlane string
	// Versions decide what can be had. Without a catalogue nobody asks.
	Versions
	// Window is how long a version can be gone back to.
	Window time.Duration
}

// rollbackBars are what is in the way of a rollback, in the order in which they are
// named (AKS: roll-back-node-pool-version). Those that last cannot be lifted: such a
// pair is not offered.
var rollbackBars = []struct {
	lasts  bool
	holds  func(RollbackInput) bool
	reason func(RollbackInput, *violations)
}{
	{true, func(in RollbackInput) bool { return in.remembered() < 0 }, func(in RollbackInput, out *violations) {
		in.refuse(out, "only what is in recentlyUsedVersions of the pool's upgrade profile can be gone back to, version and node image together")
	}},
	{true, func(in RollbackInput) bool { return in.remembered() > 0 }, func(in RollbackInput, out *violations) {
		in.refuse(out, "only what the pool left last can be gone back to, which is version %s on node image %s", in.last().OrchestratorVersion, in.last().NodeImageVersion)
	}},
	{true, func(in RollbackInput) bool { return in.Now.Sub(in.last().Timestamp.Time) > in.Window }, func(in RollbackInput, out *violations) {
		in.refuse(out, "the pool left them on %s, which is more than %s ago", in.last().Timestamp.UTC().Format(time.DateOnly), days(in.Window))
	}},
	{true, func(in RollbackInput) bool { return !SkewAllowed(in.ControlPlane, in.Kubernetes) }, func(in RollbackInput, out *violations) {
		out.add(CodePoolNewerThanCluster, rollbackTarget, "Node pool version %s and control plane version %s are incompatible: the pool cannot go back, since it can be at most %d minor versions older than its control plane",
			in.Kubernetes, in.ControlPlane, maxSkew(in.ControlPlane))
	}},
	{true, RollbackInput.unsupported, func(in RollbackInput, out *violations) {
		in.refuse(out, "version %s is not supported any more", in.Kubernetes)
	}},
	{true, RollbackInput.imageGone, func(in RollbackInput, out *violations) {
		in.refuse(out, "node image %s is not kept any more for version %s", in.NodeImage, in.Kubernetes)
	}},
	{false, func(in RollbackInput) bool { return channelOf(in.AutoUpgrade) }, func(in RollbackInput, out *violations) {
		in.refuse(out, "the auto-upgrade channel %s would undo it: set autoUpgradeProfile.upgradeChannel to %s first", in.AutoUpgrade.UpgradeChannel, ChannelNone)
	}},
	// A version stays gone back to under a node OS channel, which brings the newest image to it in time.
	{false, func(in RollbackInput) bool {
		return in.Kubernetes == in.Pool.CurrentOrchestratorVersion && UpgradesNodeImages(in.AutoUpgrade)
	}, func(in RollbackInput, out *violations) {
		in.refuse(out, "the node OS upgrade channel %s would undo it: set autoUpgradeProfile.nodeOSUpgradeChannel to %s first", in.AutoUpgrade.NodeOSUpgradeChannel, NodeOSNone)
	}},
}

const rollbackTarget = "properties.nodeImageVersion"

// Rollback says whether what is asked for is a rollback, and why it cannot be. It is
// one that asks for an older pair which the pool had, or for an older node image:
// anything else follows the rules of upgrades.
func Rollback(in RollbackInput) (bool, []Violation) {
	if in.NodeImage == "" || in.Pool.NodeImageVersion == "" || !in.older() {
		return false, nil
	}
	// A version moves down by itself under the rules of upgrades, which refuse it.
	if in.remembered() < 0 && in.NodeImage == in.Pool.NodeImageVersion {
		return false, nil
	}
	found := in.barred(false)
	return len(found) == 0, found
}

// RollbackTo is the pair that a pool can be brought back to, as soon as no channel
// is in the way, or false.
func RollbackTo(in RollbackInput) (v1beta1.UsedVersion, bool) {
	if len(in.Pool.RecentlyUsedVersions) == 0 {
		return v1beta1.UsedVersion{}, false
	}
	last := in.last()
	in.Kubernetes, in.NodeImage = last.OrchestratorVersion, last.NodeImageVersion
	return last, in.older() && len(in.barred(true)) == 0
}

// barred names the first thing that is in the way.
func (in RollbackInput) barred(lasting bool) []Violation {
	var out violations
	for _, bar := range rollbackBars {
		if (bar.lasts || !lasting) && bar.holds(in) {
			bar.reason(in, &out)
			break
		}
	}
	return out
}

func (in RollbackInput) refuse(out *violations, format string, args ...any) {
	out.add(CodeOperationNotAllowed, rollbackTarget, "Operation is not allowed: the pool cannot go back to version %s on node image %s from version %s on %s: "+format,
		append([]any{in.Kubernetes, in.NodeImage, in.Pool.CurrentOrchestratorVersion, in.Pool.NodeImageVersion}, args...)...)
}

// remembered is where the pair stands among those that the pool had, or -1.
func (in RollbackInput) remembered() int {
	return slices.IndexFunc(in.Pool.RecentlyUsedVersions, func(used v1beta1.UsedVersion) bool {
		return used.OrchestratorVersion == in.Kubernetes && used.NodeImageVersion == in.NodeImage
	})
}

func (in RollbackInput) last() v1beta1.UsedVersion { return in.Pool.RecentlyUsedVersions[0] }

// older says whether the pair comes before what the pool has.
func (in RollbackInput) older() bool {
	order := release.Compare(in.Kubernetes, in.Pool.CurrentOrchestratorVersion)
	if order == 0 {
		order = release.CompareNodeImages(in.NodeImage, in.Pool.NodeImageVersion)
	}
	return order < 0
}

func (in RollbackInput) unsupported() bool {
	if in.Catalogue == nil {
		return false
	}
	r, ok := in.Catalogue.Release(in.Kubernetes)
	return !ok || !in.poolMay(r, in.ControlPlane)
}

func (in RollbackInput) imageGone() bool {
	if in.Catalogue == nil || len(in.Catalogue.NodeImages) == 0 {
		return false
	}
	_, ok := in.Catalogue.MachineImage(in.Kubernetes, in.NodeImage)
	return !ok
}

// days writes a time as whole days, or as it is.
func days(length time.Duration) string {
	const day = 24 * time.Hour
	if length < day || length%day != 0 {
		return length.String()
	}
	return fmt.Sprintf("%d days", length/day)
}

func channelOf(profile *v1beta1.AutoUpgradeProfile) bool {
	return profile != nil && profile.UpgradeChannel != "" && profile.UpgradeChannel != ChannelNone
}
