package controlplane

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Foundation renders what must stand before anything else: the namespaces, the
// policies that close them, and the Services, whose addresses the rest needs.
func Foundation(in Input) []client.Object {
	objects := []client.Object{
		namespace(in.namespace(), "baseline", in),
		namespace(in.machineNamespace(), "privileged", in),
	}
	objects = append(objects, policies(in)...)
	objects = append(objects, apiServerService(in), etcdService(in))
	if in.highlyAvailable() {
		objects = append(objects, memberServices(in)...)
	}
	return objects
}

func namespace(name, podSecurity string, in Input) client.Object {
	meta := in.meta(name)
	meta.Namespace = ""
	meta.Labels["pod-security.kubernetes.io/enforce"] = podSecurity
	return &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: meta}
}

// apiServerService leads to one API server at any time. Clients are sent from one
// to the other before it ends, and not when it has.
func apiServerService(in Input) client.Object {
	component := ComponentKube
	if in.TrialServes {
		component = componentTrial
	}
	made := service(in, APIServerService, component,
		port("https", APIServerPort), port("konnectivity", KonnectivityPort))
	made.Spec.PublishNotReadyAddresses = !in.Replicated || in.TrialServes
	return made
}

// etcdService leads to every member that is ready, which one without a vote is not; to
// the first alone while an API server depends on that one.
func etcdService(in Input) client.Object {
	made := service(in, EtcdService, ComponentEtcd, port("client", EtcdPort))
	switch {
	case in.Replicated && !in.Recreate:
		made.Spec.PublishNotReadyAddresses = false
	case in.highlyAvailable():
		made.Spec.Selector[labelPodName] = MemberName(0)
	}
	return made
}

// service publishes pods before they are ready. With one replica there is nothing
// better to send a client to, and it saves the time from ready to routed.
func service(in Input, name, component string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: in.meta(name),
		Spec: corev1.ServiceSpec{
			Type:                     corev1.ServiceTypeClusterIP,
			Selector:                 map[string]string{LabelComponent: component},
			Ports:                    ports,
			PublishNotReadyAddresses: true,
		},
	}
}

func port(name string, number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: number, TargetPort: intstr.FromInt32(number), Protocol: corev1.ProtocolTCP}
}
