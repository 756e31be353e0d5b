package node

import "fmt"

// reservedCPU is what AKS keeps of a node's processors for the kubelet and the container runtime: with at least CPUs
// processors, Milli thousandths of one.
func reservedCPU() []struct{ CPUs, Milli int } {
	return []struct{ CPUs, Milli int }{
		{64, 740}, {32, 420}, {16, 260}, {8, 180}, {4, 140}, {2, 100}, {1, 60},
	}
}

// AKS keeps 20 MB of memory for each pod that the node can have and 50 MB beside, and never over a quarter of it.
const (
	reservedMiBPerPod  = 20
	reservedMiBPerNode = 50
	reservedShare      = 4
)

// reservedFor is the kubelet's kubeReserved: what a node of this size keeps back from its pods, as AKS does.
func reservedFor(cpus int, memoryMiB int64, maxPods int32) map[string]string {
	milli := 0
	for _, row := range reservedCPU() {
		if cpus >= row.CPUs {
			milli = row.Milli
			break
		}
	}
	memory := min(int64(maxPods)*reservedMiBPerPod+reservedMiBPerNode, memoryMiB/reservedShare)
	return map[string]string{"cpu": fmt.Sprintf("%dm", milli), "memory": fmt.Sprintf("%dMi", memory), "pid": "1000"}
}
