package addon

import "sigs.k8s.io/controller-runtime/pkg/client"

// Images are the images of the managed components.
type Images struct {
	// Kube is the multi-call image of the cluster's Kubernetes version.
	Kube, CoreDNS, KonnectivityAgent, MetricsServer string
	// Node is the image of the network agent; NodeLivez says that it is of this build, whose
	// agent tells whether it hangs. One that a cluster still has from before may not.
	Node      string
	NodeLivez bool
}

// Rendered are the images that Render puts into the cluster, by their names in the release
// catalogue.
func (in Input) Rendered() map[string]string {
	images := map[string]string{"kube": in.Images.Kube, "coredns": in.Images.CoreDNS, "konnectivity-agent": in.Images.KonnectivityAgent}
	if len(in.MetricsCert) > 0 {
		images["metrics-server"] = in.Images.MetricsServer
	}
	if in.NetworkAgent {
		images["berth-node"] = in.Images.Node
	}
	return images
}

// Input is all that the managed components depend on.
type Input struct {
	Images Images
	// ControlPlaneAddress is where nodes find the API server and the tunnel's end.
	ControlPlaneAddress string
	PodCIDR             string
	// NetworkAgent is false where the customer brings the CNI (D7); NetworkPolicy
	// says whether the agent enforces policies.
	NetworkAgent, NetworkPolicy bool
	// DNSServiceIP is the address of the Service kube-dns.
	DNSServiceIP string
	// Nodes is how many nodes the cluster is asked to have. With two or more,
	// components that can run twice do.
	Nodes int32
	// CA is the cluster's authority, PEM; MetricsCert and MetricsKey are what
	// metrics-server shows to the aggregation layer.
	CA, MetricsCert, MetricsKey []byte
}

// Render lists every managed object in the order to apply it: first what lets
// nodes join, then what makes them ready, then what they carry, last what protects it.
func Render(in Input) ([]client.Object, error) {
	network, err := networkAgent(in)
	if err != nil {
		return nil, err
	}
	objects := append(bootstrap(in), network...)
	for _, part := range []func(Input) []client.Object{kubeProxy, konnectivityAgent, coreDNS, metricsServer} {
		objects = append(objects, part(in)...)
	}
	return append(objects, protection(objects)...), nil
}

func (in Input) replicas() int32 {
	if in.Nodes > 1 {
		return 2
	}
	return 1
}

// The identities and ports that the control plane's side of each connection has
// too; a test holds them equal to package controlplane's.
const (
	systemNamespace      = "kube-system"
	apiServerPort        = 6443
	konnectivityPort     = 8132
	kubeletClientUser    = "kube-apiserver-kubelet-client"
	konnectivityUser     = "system:konnectivity-server"
	konnectivityAudience = "system:konnectivity-server"
)
