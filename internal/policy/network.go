package policy

import (
	"net/netip"

	"berth.dev/berth/api/v1beta1"
)

// A plugin's mode must be listed here for the pair to be accepted.
var networkPlugins = map[string][]string{
	"kubenet": {""},
	"azure":   {"overlay"},
	"none":    {""},
}

// reservedRanges cannot be a cluster's own: Berth's management network, and what
// AKS reserves too.
var reservedRanges = []struct{ cidr, why string }{
	{"100.64.0.0/10", "it is the management network"},
	{"169.254.0.0/16", "it is link-local"},
	{"172.30.0.0/16", "AKS reserves it"},
	{"172.31.0.0/16", "AKS reserves it"},
	{"192.0.2.0/24", "AKS reserves it"},
	{"127.0.0.0/8", "it is loopback"},
	{"224.0.0.0/4", "it is multicast"},
}

const (
	// A node takes a /24 of the pod range, so that /24 is the smallest useful one.
	smallestPodRange = 24
	// Kubernetes takes service ranges of at most 20 bits.
	largestServiceRange  = 12
	smallestServiceRange = 27
)

func validateNetwork(out *violations, n v1beta1.NetworkProfile) {
	modes, known := networkPlugins[n.NetworkPlugin]
	switch {
	case !known:
		out.add(CodeInvalidParameter, "networkProfile.networkPlugin", "network plugin %q is not supported; use azure (with networkPluginMode overlay), kubenet or none", n.NetworkPlugin)
	case !contains(modes, n.NetworkPluginMode):
		out.add(CodeInvalidParameter, "networkProfile.networkPluginMode", "network plugin %q does not support mode %q; supported: %q", n.NetworkPlugin, n.NetworkPluginMode, modes)
	}
	allow(out, "networkProfile.networkPolicy", n.NetworkPolicy, "none", "azure")
	if n.NetworkPlugin == "none" && n.NetworkPolicy != "none" {
		out.add(CodeInvalidParameter, "networkProfile.networkPolicy", "network policy %q needs a managed network plugin; with networkPlugin none it comes from your own CNI", n.NetworkPolicy)
	}
	allow(out, "networkProfile.networkDataplane", n.NetworkDataplane, "azure")
	allow(out, "networkProfile.outboundType", n.OutboundType, OutboundLoadBalancer, OutboundNone)
	allow(out, "networkProfile.loadBalancerSku", n.LoadBalancerSKU, "standard")
	validateRanges(out, n)
}

func validateRanges(out *violations, n v1beta1.NetworkProfile) {
	pods, podsOK := validateRange(out, "networkProfile.podCidr", n.PodCIDR)
	services, servicesOK := validateRange(out, "networkProfile.serviceCidr", n.ServiceCIDR)
	if podsOK && pods.Bits() > smallestPodRange {
		out.add(CodeInvalidParameter, "networkProfile.podCidr", "pod CIDR %s is too small: each node takes a /24 of it", n.PodCIDR)
	}
	if servicesOK && (services.Bits() < largestServiceRange || services.Bits() > smallestServiceRange) {
		out.add(CodeInvalidParameter, "networkProfile.serviceCidr", "service CIDR %s must be between /%d and /%d", n.ServiceCIDR, largestServiceRange, smallestServiceRange)
	}
	if podsOK && servicesOK && pods.Overlaps(services) {
		out.add(CodeInvalidParameter, "networkProfile.serviceCidr", "service CIDR %s and pod CIDR %s overlap; choose ranges that do not", n.ServiceCIDR, n.PodCIDR)
	}
	if servicesOK {
		validateDNS(out, n.DNSServiceIP, services)
	}
}

func validateRange(out *violations, target, cidr string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil || !prefix.Addr().Is4() {
		out.add(CodeInvalidParameter, target, "%q is not an IPv4 range such as 10.0.0.0/16", cidr)
		return netip.Prefix{}, false
	}
	if prefix != prefix.Masked() {
		out.add(CodeInvalidParameter, target, "%s has bits set beyond its length; write %s", cidr, prefix.Masked())
		return netip.Prefix{}, false
	}
	for _, reserved := range reservedRanges {
		if prefix.Overlaps(netip.MustParsePrefix(reserved.cidr)) {
			out.add(CodeInvalidParameter, target, "%s overlaps %s, which cannot be used: %s", cidr, reserved.cidr, reserved.why)
			return netip.Prefix{}, false
		}
	}
	return prefix, true
}

func validateDNS(out *violations, ip string, services netip.Prefix) {
	address, err := netip.ParseAddr(ip)
	switch {
	case err != nil:
		out.add(CodeInvalidParameter, "networkProfile.dnsServiceIP", "%q is not an IP address", ip)
	case !services.Contains(address):
		out.add(CodeInvalidParameter, "networkProfile.dnsServiceIP", "DNS service IP %s is not in the service CIDR %s", ip, services)
	case address == services.Addr() || address == services.Addr().Next():
		out.add(CodeInvalidParameter, "networkProfile.dnsServiceIP", "DNS service IP %s is one of the first two addresses of the service CIDR, which Kubernetes uses itself", ip)
	}
}

func validateAuthorizedRanges(out *violations, access *v1beta1.APIServerAccessProfile) {
	if access == nil {
		return
	}
	const limit = 200
	target := "apiServerAccessProfile.authorizedIPRanges"
	if len(access.AuthorizedIPRanges) > limit {
		out.add(CodeInvalidParameter, target, "%d ranges, at most %d are allowed", len(access.AuthorizedIPRanges), limit)
	}
	for _, text := range access.AuthorizedIPRanges {
		if _, err := ParseRange(text); err != nil {
			out.add(CodeInvalidParameter, target, "%q is not an IP address or a range such as 203.0.113.0/24", text)
		}
	}
}

// ParseRange reads an address or a CIDR; an address is a range of one.
func ParseRange(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func allow(out *violations, target, value string, allowed ...string) {
	if !contains(allowed, value) {
		out.add(CodeInvalidParameter, target, "%q is not supported; use one of %q", value, allowed)
	}
}

func contains(list []string, value string) bool {
	for _, item := range list {
		if item == value {
			return true
		}
	}
	return false
}
