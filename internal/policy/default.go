package policy

import (
	"fmt"
	"net/netip"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// AKS's defaults of a cluster's network (azure-wire, 1.4).
const (
	defaultPodCIDR     = "10.244.0.0/16"
	defaultServiceCIDR = "10.0.0.0/16"
	defaultMaxPods     = 110
	overlayMaxPods     = 250
	defaultOSDiskGB    = 128
)

// DefaultCluster fills what a customer left out of a cluster. It never changes a
// field that is set, but for what the channel node-image forces, and filling twice is the same as once. The id is drawn by
// the caller, who has a source of randomness.
func DefaultCluster(spec *v1beta1.ManagedClusterSpec) {
	setIfEmpty(&spec.DNSPrefix, dnsPrefix(spec.Name, spec.ResourceGroup))
	setIfEmpty(&spec.NodeResourceGroup, nodeResourceGroup(spec))
	if spec.SKU == nil {
		spec.SKU = &v1beta1.SKU{}
	}
	setIfEmpty(&spec.SKU.Name, "Base")
	setIfEmpty(&spec.SKU.Tier, "Free")
	setIfEmpty(&spec.SupportPlan, release.PlanOfficial)
	defaultNetwork(&spec.NetworkProfile)
	defaultChannels(spec)
}

func defaultNetwork(n *v1beta1.NetworkProfile) {
	if n.NetworkPlugin == "" {
		n.NetworkPlugin = "azure"
		setIfEmpty(&n.NetworkPluginMode, "overlay")
	}
	setIfEmpty(&n.NetworkPolicy, "none")
	setIfEmpty(&n.NetworkDataplane, "azure")
	setIfEmpty(&n.PodCIDR, defaultPodCIDR)
	setIfEmpty(&n.ServiceCIDR, defaultServiceCIDR)
	if n.DNSServiceIP == "" {
		n.DNSServiceIP = tenthAddress(n.ServiceCIDR)
	}
	setIfEmpty(&n.OutboundType, OutboundLoadBalancer)
	setIfEmpty(&n.LoadBalancerSKU, "standard")
}

// DefaultPool fills what a customer left out of a pool. The first pool of a
// cluster is a system pool, later ones are user pools (AKS: use-system-pools).
func DefaultPool(pool *v1beta1.AgentPoolProfile, network v1beta1.NetworkProfile, first bool) {
	if pool.Count == nil {
		one := int32(1)
		pool.Count = &one
	}
	setIfEmpty(&pool.VMSize, DefaultVMSize)
	if size, ok := FindVMSize(pool.VMSize); ok {
		pool.VMSize = size.Name
	}
	setIfZero(&pool.OSDiskSizeGB, defaultOSDiskGB)
	setIfEmpty(&pool.OSDiskType, "Managed")
	setIfEmpty(&pool.OSType, "Linux")
	setIfEmpty(&pool.OSSKU, "Debian")
	setIfEmpty(&pool.Type, "VirtualMachineScaleSets")
	setIfEmpty(&pool.ScaleDownMode, "Delete")
	if network.NetworkPluginMode == "overlay" {
		setIfZero(&pool.MaxPods, overlayMaxPods)
	}
	setIfZero(&pool.MaxPods, defaultMaxPods)
	if first {
		setIfEmpty(&pool.Mode, "System")
	}
	setIfEmpty(&pool.Mode, "User")
}

// dnsPrefix makes the prefix as az does: <cluster>-<group>, cut to what a DNS
// label holds beside the cluster's id.
func dnsPrefix(name, group string) string {
	keep := func(s string, n int) string {
		out := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
				return r
			}
			return -1
		}, s)
		return strings.Trim(out[:min(n, len(out))], "-")
	}
	prefix := strings.Trim(keep(name, 20)+"-"+keep(group, 16), "-")
	if prefix == "" || prefix[0] >= '0' && prefix[0] <= '9' {
		prefix = "a" + prefix
	}
	return prefix
}

func nodeResourceGroup(spec *v1beta1.ManagedClusterSpec) string {
	name := fmt.Sprintf("MC_%s_%s_%s", spec.ResourceGroup, spec.Name, spec.Location)
	return name[:min(80, len(name))]
}

// tenthAddress is where AKS puts the cluster's DNS: the tenth address of the
// service range.
func tenthAddress(cidr string) string {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return ""
	}
	address := prefix.Masked().Addr()
	for range 10 {
		address = address.Next()
	}
	if !address.IsValid() || !prefix.Contains(address) {
		return ""
	}
	return address.String()
}

func setIfEmpty(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func setIfZero(field *int32, value int32) {
	if *field == 0 {
		*field = value
	}
}
