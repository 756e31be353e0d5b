package policy

import "berth.dev/berth/api/v1beta1"

// The values of networkProfile.outboundType (AKS: egress-outboundtype).
const (
	OutboundLoadBalancer = "loadBalancer"
	// OutboundNone leaves nodes and their pods no way out but to what EgressOf lists.
	OutboundNone = "none"
)

// Dependency is something outside its pool that every node has to reach (I3).
type Dependency struct {
	Category, Domain string
	// Address is empty where it depends on the management cluster.
	Address string
	Port    int32
	// Protocol is that of AKS's list: Https or TCP.
	Protocol, Description string
}

// EgressOf is the whole list of what the nodes of a cluster need to reach (I3; AKS:
// outbound-rules-control-egress). The NetworkPolicies of its machines open these ways,
// and no other where the outbound type is none.
func EgressOf(cluster *v1beta1.ManagedCluster) []Dependency {
	address := cluster.Status.ControlPlaneAddress
	return []Dependency{
		{"control-plane", cluster.Status.FQDN, address, 6443, "Https", "The Kubernetes API server: kubelet, kube-proxy, managed components."},
		{"control-plane", cluster.Status.FQDN, address, 8132, "TCP", "konnectivity, through which the API server reaches nodes and pods."},
		{"images", "registry.berth.internal", "", 5000, "Https", "Berth's registry: the images of managed components."},
	}
}
