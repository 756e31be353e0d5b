package policy

import (
	"slices"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// PoolVersion is the version of one pool of a cluster before and after a request.
type PoolVersion struct {
	Name string
	// Running is what its nodes run, Asked what was asked for before and Wanted what
	// is asked for now, all exact.
	Running, Asked, Wanted string
}

// changed says whether the request changes what was asked for. To go back to what
// runs is no change: it gives up an upgrade.
func (p PoolVersion) changed() bool { return p.Wanted != p.Asked && p.Wanted != p.Running }

// UpgradeInput is a cluster's versions before and after a request.
type UpgradeInput struct {
	Versions
	// Name is the cluster's.
	Name string
	// Running is what the control plane runs, Wanted what was asked for, as it was
	// asked: exact, a minor, or empty.
	Running, Wanted string
	Pools           []PoolVersion
	// Channel is the cluster's autoUpgradeProfile.upgradeChannel.
	Channel string
}

// ValidateUpgrade returns every reason to refuse a change of a cluster's version
// and of its pools', none when it is good or when nothing changes: one minor at a
// time, never down, pools never ahead nor too far behind, and either no pool or
// every pool together with the control plane.
func ValidateUpgrade(in UpgradeInput) []Violation {
	var out violations
	target, ok := in.Target(in.Wanted, in.Running)
	if !ok {
		notSupported(&out, in.Versions, in.Name, in.Wanted)
		return out
	}
	validateWholeOrNone(&out, in, target)
	if target != in.Running {
		validatePath(&out, in, target)
	}
	return out
}

// notSupported says that a cluster cannot have a version.
func notSupported(out *violations, v Versions, name, asked string) {
	if r, ok := v.Catalogue.Resolve(asked); ok && v.Catalogue.ForLTSOnly(r, v.Now) {
		out.add(CodeVersionNotSupported, "kubernetesVersion", "Managed cluster %s is on version %s which is only available for Long-Term Support (LTS). Please use [az aks get-versions] command to get the supported version list in this region", name, asked)
		return
	}
	out.add(CodeVersionNotSupported, "kubernetesVersion", "Managed cluster %s is on version %s which is not supported in this region. Please use [az aks get-versions] command to get the supported version list in this region", name, asked)
}

func validatePath(out *violations, in UpgradeInput, target string) {
	upgrades := in.Upgrades(in.Running)
	if !includes(upgrades, target) {
		out.add(CodeOperationNotAllowed, "kubernetesVersion", "Upgrading Kubernetes version %s to %s is not allowed. Available upgrades: %v. Please see https://aka.ms/aks-supported-k8s-ver for version details", in.Running, target, Names(upgrades))
		return
	}
	for _, pool := range in.Pools {
		switch {
		case pool.Wanted != target && !SkewAllowed(target, pool.Wanted):
			incompatible(out, "agentPoolProfile.orchestratorVersion", pool.Name, pool.Wanted, target)
		// Its nodes run on while the control plane has the target. From out of support there is
		// no other way.
		case pool.Running != "" && !SkewAllowed(target, pool.Running) && !in.outOfSupport(in.Running):
			incompatible(out, "agentPoolProfile.orchestratorVersion", pool.Name, pool.Running, target)
		}
	}
}

// validateWholeOrNone holds a request through the cluster to all of its pools or
// none of them, and to all while a channel upgrades the cluster by itself (AKS:
// auto-upgrade-cluster).
func validateWholeOrNone(out *violations, in UpgradeInput, target string) {
	const code = CodeNotAllPools
	apart := slices.IndexFunc(in.Pools, func(p PoolVersion) bool { return p.Wanted != target })
	if apart < 0 {
		return
	}
	pool := in.Pools[apart]
	switch {
	case slices.ContainsFunc(in.Pools, PoolVersion.changed):
		out.add(code, "agentPoolProfiles", "Using managed cluster api, all Agent pools' OrchestratorVersion must be all unchanged or the same with control plane, which is %s: pool %s would have %s. Use the agent pool itself to change one pool", target, pool.Name, pool.Wanted)
	case target == in.Running:
	case upgradesByItself(in.Channel):
		out.add(code, "agentPoolProfiles", "Using managed cluster api, all Agent pools' OrchestratorVersion must be the same with control plane while the auto-upgrade channel %s is on: pool %s would stay on %s. Upgrade the pools too, or set the channel to none", in.Channel, pool.Name, pool.Wanted)
	case minorsBetween(in.Running, target) > 1 && includes(in.Upgrades(in.Running), target):
		out.add(CodeOperationNotAllowed, "agentPoolProfiles", "Upgrading Kubernetes version %s to %s skips versions, which is possible for the whole cluster only: pool %s would stay on %s", in.Running, target, pool.Name, pool.Wanted)
	}
}

// upgradesByItself says whether a channel changes Kubernetes versions.
func upgradesByItself(channel string) bool {
	return slices.Contains([]string{"patch", "stable", "rapid"}, channel)
}

func minorsBetween(from, to string) int {
	a, errA := release.Parse(from)
	b, errB := release.Parse(to)
	if errA != nil || errB != nil {
		return 0
	}
	return b[1] - a[1]
}

func incompatible(out *violations, target, pool, version, controlPlane string) {
	out.add(CodePoolNewerThanCluster, target, "Node pool version %s and control plane version %s are incompatible: pool %s can be at most %d minor versions older than its control plane and never newer", version, controlPlane, pool, maxSkew(controlPlane))
}

// UpgradeForced says whether an upgrade that starts now passes disruption budgets
// and the gates before it. Without an end the override has no effect (AKS:
// upgrade-options).
func UpgradeForced(settings *v1beta1.ClusterUpgradeSettings, start time.Time) bool {
	if settings == nil || settings.OverrideSettings == nil {
		return false
	}
	override := settings.OverrideSettings
	return override.ForceUpgrade && override.Until != nil && start.Before(override.Until.Time)
}

// validateOverride refuses to begin an override that has ended. One that was there
// before may stay, so that a client can send back what it read.
func validateOverride(out *violations, in ClusterInput) {
	until := overrideEnd(in.New)
	if until.IsZero() || in.Old != nil && until.Equal(overrideEnd(in.Old)) {
		return
	}
	if !until.After(in.Now) {
		out.add(CodeInvalidParameter, "upgradeSettings.overrideSettings.until", "The value of parameter upgradeSettings.overrideSettings.until is invalid: %s has passed; give a time in the future", until.UTC().Format(time.RFC3339))
	}
}

func overrideEnd(spec *v1beta1.ManagedClusterSpec) time.Time {
	if spec.UpgradeSettings == nil || spec.UpgradeSettings.OverrideSettings == nil || spec.UpgradeSettings.OverrideSettings.Until == nil {
		return time.Time{}
	}
	return spec.UpgradeSettings.OverrideSettings.Until.Time
}
