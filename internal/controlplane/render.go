package controlplane

import "sigs.k8s.io/controller-runtime/pkg/client"

// Workloads renders what runs: etcd first, since the API server waits for it.
// The Secrets that the pods mount must be stored before.
func Workloads(in Input) []client.Object {
	objects := []client.Object{configMap(in), etcdConfigMap(in), etcdStatefulSet(in)}
	if in.highlyAvailable() {
		objects = append(objects, budget(in, ComponentEtcd))
	}
	if in.Replicated {
		objects = append(objects, budget(in, ComponentKube))
	}
	return append(objects, kubeDeployment(in))
}
