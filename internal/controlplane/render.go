package controlplane

import "sigs.k8s.io/controller-runtime/pkg/client"

// Workloads renders what runs: etcd first, since the API server waits for it.
// The Secrets that the pods mount must be stored before.
func Workloads(in Input) []client.Object {
	return []client.Object{configMap(in), etcdConfigMap(in), etcdStatefulSet(in), kubeDeployment(in)}
}
