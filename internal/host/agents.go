package host

import (
	"fmt"
	"net"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/network"
	"berth.dev/berth/internal/volume"
)

// agentObjects install what berth-node runs in the cluster: the network agent
// and the volume provisioner. They must run before Services do, so they are
// told the API server's own address.
func agentObjects(image string) ([]client.Object, error) {
	address := net.JoinHostPort(MachineAddress, fmt.Sprint(apiServerPort))
	agent, err := network.Objects(network.Config{Image: image, APIServer: address, ClusterCIDR: PodCIDR, Policy: true, Livez: true})
	if err != nil {
		return nil, err
	}
	provisioner, err := volume.Objects(volume.Config{Image: image, APIServer: address, Default: true})
	if err != nil {
		return nil, err
	}
	var objects []client.Object
	for _, object := range agent {
		objects = append(objects, object)
	}
	for _, object := range provisioner {
		objects = append(objects, object)
	}
	return objects, nil
}
