package host

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const networkAgent = "berth-network"

func networkObjects(image string) []client.Object { return nil }
func volumeObjects(image string) []client.Object  { return nil }
