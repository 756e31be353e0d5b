package host

import (
	"fmt"
	"net"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/network"
)

// networkObjects install the network agent. It must run before Services do, so
// it is told the API server's own address.
func networkObjects(image string) ([]client.Object, error) {
	rendered, err := network.Objects(network.Config{
		Image:       image,
		APIServer:   net.JoinHostPort(MachineAddress, fmt.Sprint(apiServerPort)),
		ClusterCIDR: PodCIDR,
		Policy:      true,
	})
	if err != nil {
		return nil, err
	}
	objects := make([]client.Object, 0, len(rendered))
	for _, object := range rendered {
		objects = append(objects, object)
	}
	return objects, nil
}
