package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"berth.dev/berth/api/v1beta1"
)

// PoolsInput is the pools that a cluster will have, and what is known around them.
type PoolsInput struct {
	Pools   []v1beta1.AgentPoolProfile
	Network v1beta1.NetworkProfile
	// ClusterVersion is what the control plane runs or will run.
	ClusterVersion string
	Versions
}

// AKS's limits of pools (quotas-skus-regions, use-system-pools).
const (
	maxPools        = 100
	maxNodesPerPool = 1000
	minMaxPods      = 10
	maxMaxPods      = 250
	systemMaxPods   = 30
)

var poolName = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)

func validatePools(out *violations, in PoolsInput) {
	if len(in.Pools) > maxPools {
		out.add(CodeQuotaExceeded, "agentPoolProfiles", "%d pools, at most %d are allowed", len(in.Pools), maxPools)
	}
	seen := map[string]bool{}
	for _, pool := range in.Pools {
		if seen[pool.Name] {
			out.add(CodeInvalidParameter, "agentPoolProfile.name", "two pools are named %q", pool.Name)
		}
		seen[pool.Name] = true
		validatePool(out, pool)
		validatePoolVersion(out, pool, in)
	}
	if len(in.Pools) > 0 && !hasSystemPool(in.Pools) {
		out.add(CodeInvalidParameter, "agentPoolProfiles", "a cluster needs at least one agent pool with mode System")
	}
	if in.Network.NetworkPlugin != "none" {
		validateRoom(out, in)
	}
}

func hasSystemPool(pools []v1beta1.AgentPoolProfile) bool {
	return slices.ContainsFunc(pools, func(p v1beta1.AgentPoolProfile) bool { return p.Mode == "System" })
}

func validatePool(out *violations, pool v1beta1.AgentPoolProfile) {
	if !poolName.MatchString(pool.Name) {
		out.add(CodeInvalidParameter, "agentPoolProfile.name", "The value of parameter agentPoolProfile.name is invalid: %q must be 1 to 12 lower-case letters and digits and start with a letter. Please see https://aka.ms/aks-naming-rules", pool.Name)
	}
	allow(out, "agentPoolProfile.mode", pool.Mode, "System", "User")
	allow(out, "agentPoolProfile.osType", pool.OSType, "Linux")
	allow(out, "agentPoolProfile.osSKU", pool.OSSKU, "Debian")
	allow(out, "agentPoolProfile.type", pool.Type, "VirtualMachineScaleSets")
	allow(out, "agentPoolProfile.osDiskType", pool.OSDiskType, "Managed", "Ephemeral")
	allow(out, "agentPoolProfile.scaleDownMode", pool.ScaleDownMode, "Delete")
	if pool.OSDiskSizeGB < 1 || pool.OSDiskSizeGB > 2048 {
		out.add(CodeInvalidParameter, "agentPoolProfile.osDiskSizeGB", "%d is not between 1 and 2048", pool.OSDiskSizeGB)
	}
	validateSize(out, pool)
	validateLabels(out, pool.NodeLabels)
	validateTaints(out, pool)
	validateTags(out, pool.Tags)
	validateUpgradeSettings(out, pool)
}

func validateSize(out *violations, pool v1beta1.AgentPoolProfile) {
	size, known := FindVMSize(pool.VMSize)
	if !known {
		out.add(CodeInvalidParameter, "agentPoolProfile.vmSize", "VM size %q is not available; available: %s", pool.VMSize, sizeNames())
	}
	least := int32(0)
	leastPods := int32(minMaxPods)
	if pool.Mode == "System" {
		least, leastPods = 1, systemMaxPods
		if known && !size.systemPoolAllows() {
			out.add(CodeInvalidParameter, "agentPoolProfile.vmSize", "VM size %s cannot carry a system pool, which needs 2 vCPU and 4 GiB and no B series", size.Name)
		}
	}
	if pool.Count != nil && (*pool.Count < least || *pool.Count > maxNodesPerPool) {
		out.add(CodeInvalidParameter, "agentPoolProfile.count", "The value of parameter agentPoolProfile.count is invalid: a %s pool has %d to %d nodes, not %d", pool.Mode, least, maxNodesPerPool, *pool.Count)
	}
	if pool.MaxPods < leastPods || pool.MaxPods > maxMaxPods {
		out.add(CodeInvalidParameter, "agentPoolProfile.maxPods", "a node of a %s pool takes %d to %d pods, not %d", pool.Mode, leastPods, maxMaxPods, pool.MaxPods)
	}
}

func sizeNames() string {
	names := make([]string, 0, len(vmSizes))
	for _, size := range vmSizes {
		names = append(names, size.Name)
	}
	return strings.Join(names, ", ")
}

// validateLabels refuses the prefixes that the system uses (AKS: use-labels).
func validateLabels(out *violations, labels map[string]string) {
	for key, value := range labels {
		prefix, _, hasPrefix := strings.Cut(key, "/")
		switch {
		case len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(value)) > 0:
			out.add(CodeInvalidParameter, "agentPoolProfile.nodeLabels", "%q=%q is not a Kubernetes label", key, value)
		case hasPrefix && reservedPrefix(prefix):
			out.add(CodeBadRequest, "agentPoolProfile.nodeLabels", "label %q uses the prefix %s, which is reserved for the system", key, prefix)
		}
	}
}

func reservedPrefix(prefix string) bool {
	for _, allowed := range []string{"node.kubernetes.io", "kubelet.kubernetes.io"} {
		if prefix == allowed || strings.HasSuffix(prefix, "."+allowed) {
			return false
		}
	}
	for _, reserved := range []string{"kubernetes.azure.com", "kubernetes.io", "k8s.io"} {
		if prefix == reserved || strings.HasSuffix(prefix, "."+reserved) {
			return true
		}
	}
	return false
}

// validateTaints allows a system pool only the taint that system pods tolerate
// and soft ones (AKS: use-system-pools).
func validateTaints(out *violations, pool v1beta1.AgentPoolProfile) {
	for _, text := range pool.NodeTaints {
		key, value, effect, err := ParseTaint(text)
		if err != nil {
			out.add(CodeInvalidParameter, "agentPoolProfile.nodeTaints", "%v", err)
			continue
		}
		prefix, _, hasPrefix := strings.Cut(key, "/")
		if hasPrefix && reservedPrefix(prefix) {
			out.add(CodeBadRequest, "agentPoolProfile.nodeTaints", "taint %q uses the prefix %s, which is reserved for the system", text, prefix)
		}
		own := key == "CriticalAddonsOnly" && value == "true" && effect == "NoSchedule"
		if pool.Mode == "System" && effect != "PreferNoSchedule" && !own {
			out.add(CodeSystemPoolTaints, "agentPoolProfile.nodeTaints", "a system pool cannot have the taint %q: system pods would find no place; CriticalAddonsOnly=true:NoSchedule is allowed", text)
		}
	}
}

// ParseTaint reads key=value:effect or key:effect.
func ParseTaint(text string) (key, value, effect string, err error) {
	head, effect, ok := strings.Cut(text, ":")
	key, value, _ = strings.Cut(head, "=")
	valid := ok && slices.Contains([]string{"NoSchedule", "PreferNoSchedule", "NoExecute"}, effect) &&
		len(validation.IsQualifiedName(key)) == 0 && len(validation.IsValidLabelValue(value)) == 0
	if !valid {
		return "", "", "", fmt.Errorf("taint %q is not key=value:effect with effect NoSchedule, PreferNoSchedule or NoExecute", text)
	}
	return key, value, effect, nil
}

// validatePoolVersion decides what a new pool can have.
func validatePoolVersion(out *violations, pool v1beta1.AgentPoolProfile, in PoolsInput) {
	if in.Catalogue == nil {
		return
	}
	const target = "agentPoolProfile.orchestratorVersion"
	version, ok := in.PoolTarget(pool.OrchestratorVersion, "", in.ClusterVersion)
	if ok && !SkewAllowed(in.ClusterVersion, version) {
		incompatible(out, target, pool.Name, version, in.ClusterVersion)
		return
	}
	if !ok || version != in.ClusterVersion && !includes(in.PoolVersions(in.ClusterVersion), version) {
		poolNotSupported(out, target, pool.Name, pool.OrchestratorVersion)
	}
}

func poolNotSupported(out *violations, target, pool, asked string) {
	out.add(CodePoolVersionNotSupported, target, "Agent pool %s is on version %s which is not supported in this region. Please use [az aks get-versions] command to get the supported version list in this region", pool, asked)
}
