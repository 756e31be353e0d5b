package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"berth.dev/berth/api/v1beta1"
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
	validatePool(&out, *in.New, around)
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
	if in.New.OrchestratorVersion == "" || in.New.OrchestratorVersion == in.Old.OrchestratorVersion || in.Around.Catalogue == nil {
		return
	}
	running := in.Old.OrchestratorVersion
	if running == "" {
		running = in.Around.ClusterVersion
	}
	was, _ := in.Around.Catalogue.Resolve(running)
	is, ok := in.Around.Catalogue.Resolve(in.New.OrchestratorVersion)
	if ok && was.Version != is.Version {
		out.add(CodeOperationNotAllowed, "properties.orchestratorVersion", "Upgrading Kubernetes version %s to %s is not allowed. Available upgrades: []", was.Version, is.Version)
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
