package network

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/network/netpol"
	"berth.dev/berth/internal/network/overlay"
)

// keepNode keeps a node's IPv4 address and pod range; either is invalid until the node has it.
func keepNode(node *corev1.Node) (overlay.Node, bool) {
	var out overlay.Node
	for _, address := range node.Status.Addresses {
		ip, err := netip.ParseAddr(address.Address)
		if address.Type == corev1.NodeInternalIP && err == nil && ip.Is4() && !out.Addr.IsValid() {
			out.Addr = ip
		}
	}
	ranges := node.Spec.PodCIDRs
	if len(ranges) == 0 {
		ranges = []string{node.Spec.PodCIDR}
	}
	for _, text := range ranges {
		if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Addr().Is4() && !out.PodCIDR.IsValid() {
			out.PodCIDR = prefix.Masked()
		}
	}
	return out, true
}

func equalNodes(a, b overlay.Node) bool { return a == b }

// ready says whether the node can be part of the overlay.
func ready(node overlay.Node) bool { return node.Addr.IsValid() && node.PodCIDR.IsValid() }

// pod is what is kept of a Pod. IP is invalid until the kubelet has reported it.
type pod struct {
	namespace, name, node string
	ip                    netip.Addr
	labels                labels.Set
	ports                 []netpol.NamedPort
}

// keepPod keeps the pods that NetworkPolicy is about: on the pod network and not finished. A finished pod's address may
// already be another's.
func keepPod(object *corev1.Pod) (pod, bool) {
	finished := object.Status.Phase == corev1.PodSucceeded || object.Status.Phase == corev1.PodFailed
	if object.Spec.HostNetwork || finished || object.Spec.NodeName == "" {
		return pod{}, false
	}
	out := pod{
		namespace: object.Namespace,
		name:      object.Name,
		node:      object.Spec.NodeName,
		labels:    object.Labels,
		ports:     namedPorts(&object.Spec),
	}
	addresses := append([]corev1.PodIP{{IP: object.Status.PodIP}}, object.Status.PodIPs...)
	for _, address := range addresses {
		if ip, err := netip.ParseAddr(address.IP); err == nil && ip.Is4() {
			out.ip = ip
			break
		}
	}
	return out, true
}

func namedPorts(spec *corev1.PodSpec) []netpol.NamedPort {
	var out []netpol.NamedPort
	collect := func(ports []corev1.ContainerPort) {
		for _, port := range ports {
			protocol, known := netpol.ProtocolOf(port.Protocol)
			if port.Name != "" && known {
				out = append(out, netpol.NamedPort{Name: port.Name, Protocol: protocol, Port: uint16(port.ContainerPort)})
			}
		}
	}
	for i := range spec.InitContainers {
		if policy := spec.InitContainers[i].RestartPolicy; policy != nil && *policy == corev1.ContainerRestartPolicyAlways {
			collect(spec.InitContainers[i].Ports)
		}
	}
	for i := range spec.Containers {
		collect(spec.Containers[i].Ports)
	}
	return out
}

func equalPods(a, b pod) bool {
	return a.namespace == b.namespace && a.name == b.name && a.node == b.node && a.ip == b.ip &&
		maps.Equal(a.labels, b.labels) && slices.Equal(a.ports, b.ports)
}

func keepNamespace(object *corev1.Namespace) (labels.Set, bool) { return object.Labels, true }

func equalLabels(a, b labels.Set) bool { return maps.Equal(a, b) }

// policy is a compiled NetworkPolicy with what tells one version of it from another.
type policy struct {
	*netpol.Policy
	uid        types.UID
	generation int64
}

// keepPolicy returns the reduction of NetworkPolicies; report gets what is wrong with one.
func keepPolicy(report func(error)) func(*networkingv1.NetworkPolicy) (policy, bool) {
	return func(object *networkingv1.NetworkPolicy) (policy, bool) {
		compiled, err := netpol.Compile(object)
		if err != nil {
			report(err)
		}
		return policy{Policy: compiled, uid: object.UID, generation: object.Generation}, true
	}
}

func equalPolicies(a, b policy) bool {
	return a.uid == b.uid && a.generation == b.generation && a.generation != 0
}
