package addon

import (
	"fmt"
	"net"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/network"
)

// networkAgent renders the pods' network and the engine of its policies (A5),
// unless the customer brings both (D7).
func networkAgent(in Input) ([]client.Object, error) {
	if !in.NetworkAgent {
		return nil, nil
	}
	rendered, err := network.Objects(network.Config{
		Image:       in.Images.Node,
		Namespace:   systemNamespace,
		Labels:      labels(network.Name),
		APIServer:   net.JoinHostPort(in.ControlPlaneAddress, fmt.Sprint(apiServerPort)),
		ClusterCIDR: in.PodCIDR,
		Policy:      in.NetworkPolicy,
		Livez:       in.Images.NodeLivez,
	})
	if err != nil {
		return nil, fmt.Errorf("network agent: %w", err)
	}
	objects := make([]client.Object, 0, len(rendered))
	for _, object := range rendered {
		objects = append(objects, object)
	}
	return objects, nil
}
