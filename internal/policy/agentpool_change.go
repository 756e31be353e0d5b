package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// validateRoom refuses pools whose nodes find no /24 in the pod range.
func validateRoom(out *violations, in PoolsInput) {
	prefix, err := netip.ParsePrefix(in.Network.PodCIDR)
	if err != nil || prefix.Bits() > smallestPodRange {
		return
	}
	total, room := 0, 1<<(smallestPodRange-prefix.Bits())
	for _, pool := range in.Pools {
		if pool.Count != nil {
			total += int(*pool.Count)
		}
	}
	if total > room {
		out.add(CodeInvalidParameter, "networkProfile.podCidr", "pod CIDR %s has room for %d nodes, not for %d", in.Network.PodCIDR, room, total)
	}
}

// PoolInput is one pool as asked for beside the other pools of its cluster.
type PoolInput struct {
	// Old is nil for a new pool.
	Old, New *v1beta1.AgentPoolProfile
	// Running is the version of the pool's nodes; empty for a new pool.
	Running string
	// RollsBack says that the pool goes back to versions that it had (see RollsBack).
	RollsBack bool
	// Others are the cluster's other pools.
	Others []v1beta1.AgentPoolProfile
	// Around is what PoolsInput says besides the pools.
	Around PoolsInput
}

// poolConstants are the fields of a pool that never change.
var poolConstants = []struct {
	target string
	value  func(*v1beta1.AgentPoolProfile) string
}{
	{"vmSize", func(p *v1beta1.AgentPoolProfile) string { return p.VMSize }},
	{"maxPods", func(p *v1beta1.AgentPoolProfile) string { return strconv.Itoa(int(p.MaxPods)) }},
	{"osDiskSizeGB", func(p *v1beta1.AgentPoolProfile) string { return strconv.Itoa(int(p.OSDiskSizeGB)) }},
	{"osDiskType", func(p *v1beta1.AgentPoolProfile) string { return p.OSDiskType }},
	{"osType", func(p *v1beta1.AgentPoolProfile) string { return p.OSType }},
	{"osSKU", func(p *v1beta1.AgentPoolProfile) string { return p.OSSKU }},
	{"type", func(p *v1beta1.AgentPoolProfile) string { return p.Type }},
	{"creationData.sourceResourceId", func(p *v1beta1.AgentPoolProfile) string {
		if p.CreationData == nil {
			return ""
		}
		return strings.ToLower(p.CreationData.SourceResourceID)
	}},
}

// ValidatePool returns every reason to refuse a pool, none when it is good.
func ValidatePool(in PoolInput) []Violation {
	var out violations
	around := in.Around
	around.Pools = append([]v1beta1.AgentPoolProfile{*in.New}, in.Others...)
	validatePool(&out, *in.New)
	if in.Old == nil {
		validatePoolVersion(&out, *in.New, around)
	}
	if in.Around.Network.NetworkPlugin != "none" {
		validateRoom(&out, around)
	}
	if len(in.Others)+1 > maxPools {
		out.add(CodeQuotaExceeded, "agentPoolProfiles", "%d pools, at most %d are allowed", len(in.Others)+1, maxPools)
	}
	if !hasSystemPool(around.Pools) {
		out.add(CodeOperationNotAllowed, "agentPoolProfile.mode", "There has to be at least one system agent pool: %s is the last one", in.New.Name)
	}
	if in.Old != nil {
		validatePoolChange(&out, in)
	}
	return out
}

func validatePoolChange(out *violations, in PoolInput) {
	for _, constant := range poolConstants {
		was, is := constant.value(in.Old), constant.value(in.New)
		if was != is {
			out.add(CodePropertyChange, "properties."+constant.target, "Changing property 'properties.%s' is not allowed: it is %q", constant.target, was)
		}
	}
	if in.Around.Catalogue != nil && !in.RollsBack && in.New.OrchestratorVersion != in.Old.OrchestratorVersion {
		validatePoolUpgrade(out, in)
	}
}

// validatePoolUpgrade decides what the nodes of a pool can be replaced by.
func validatePoolUpgrade(out *violations, in PoolInput) {
	const target = "properties.orchestratorVersion"
	around := in.Around
	running := in.Running
	if running == "" {
		running, _ = around.PoolTarget(in.Old.OrchestratorVersion, "", around.ClusterVersion)
	}
	version, ok := around.PoolTarget(in.New.OrchestratorVersion, running, around.ClusterVersion)
	upgrades := around.PoolUpgrades(running, around.ClusterVersion)
	switch {
	case !ok:
		poolNotSupported(out, target, in.New.Name, in.New.OrchestratorVersion)
	case version == running || includes(upgrades, version):
	case !SkewAllowed(around.ClusterVersion, version):
		incompatible(out, target, in.New.Name, version, around.ClusterVersion)
	case release.Compare(version, running) < 0:
		out.add(CodePoolUpgradePath, target, "Upgrading Kubernetes version %s to %s is not allowed. Available upgrades: %v", running, version, Names(upgrades))
	default:
		poolNotSupported(out, target, in.New.Name, in.New.OrchestratorVersion)
	}
}

// ValidatePoolDelete refuses to delete a cluster's last system pool (AKS: use-system-pools).
func ValidatePoolDelete(pool v1beta1.AgentPoolProfile, others []v1beta1.AgentPoolProfile) []Violation {
	if pool.Mode != "System" || hasSystemPool(others) {
		return nil
	}
	return []Violation{{
		Code:    CodeOperationNotAllowed,
		Target:  "agentPoolProfile.name",
		Message: fmt.Sprintf("There has to be at least one system agent pool: %s is the last one and cannot be deleted", pool.Name),
	}}
}
