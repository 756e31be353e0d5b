package netpol

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// defined answers from the API objects, packet by packet, as the API's documentation reads: no sets, no profiles.
func defined(state *State, objects []*networkingv1.NetworkPolicy, p packet) bool {
	if p.from == p.to {
		return true
	}
	from, to := podAt(state, p.from), podAt(state, p.to)
	return definedSide(state, objects, Egress, from, p.to, to, p) && definedSide(state, objects, Ingress, to, p.from, from, p)
}

func podAt(state *State, addr netip.Addr) *Pod {
	for i := range state.Pods {
		if state.Pods[i].IP == addr {
			return &state.Pods[i]
		}
	}
	return nil
}

func definedSide(state *State, objects []*networkingv1.NetworkPolicy, direction Direction, mine *Pod, other netip.Addr, otherPod *Pod, p packet) bool {
	if mine == nil {
		return true
	}
	isolated := false
	for _, np := range objects {
		types := np.Spec.PolicyTypes
		if len(types) == 0 {
			types = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
			if len(np.Spec.Egress) > 0 {
				types = append(types, networkingv1.PolicyTypeEgress)
			}
		}
		applies := slices.ContainsFunc(types, func(t networkingv1.PolicyType) bool {
			return strings.EqualFold(string(t), direction.String())
		})
		if !applies || np.Namespace != mine.Namespace || !selects(&np.Spec.PodSelector, mine.Labels) {
			continue
		}
		isolated = true
		receiver := mine
		var rules []networkingv1.NetworkPolicyIngressRule
		if direction == Ingress {
			rules = np.Spec.Ingress
		} else {
			receiver = otherPod
			for _, rule := range np.Spec.Egress {
				rules = append(rules, networkingv1.NetworkPolicyIngressRule{From: rule.To, Ports: rule.Ports})
			}
		}
		for _, rule := range rules {
			if definedPeers(state, np, rule.From, other, otherPod) && definedPorts(rule.Ports, receiver, p) {
				return true
			}
		}
	}
	return !isolated
}

func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(set)
}

func definedPeers(state *State, np *networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer, addr netip.Addr, pod *Pod) bool {
	if len(peers) == 0 {
		return true
	}
	return slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		if peer.IPBlock != nil {
			return netip.MustParsePrefix(peer.IPBlock.CIDR).Contains(addr) &&
				!slices.ContainsFunc(peer.IPBlock.Except, func(e string) bool { return netip.MustParsePrefix(e).Contains(addr) })
		}
		if pod == nil {
			return false
		}
		if peer.NamespaceSelector == nil && pod.Namespace != np.Namespace ||
			peer.NamespaceSelector != nil && !selects(peer.NamespaceSelector, state.Namespaces[pod.Namespace]) {
			return false
		}
		return peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels)
	})
}

func definedPorts(ports []networkingv1.NetworkPolicyPort, receiver *Pod, p packet) bool {
	if len(ports) == 0 {
		return true
	}
	return slices.ContainsFunc(ports, func(port networkingv1.NetworkPolicyPort) bool {
		protocol := "tcp"
		if port.Protocol != nil {
			protocol = strings.ToLower(string(*port.Protocol))
		}
		switch {
		case protocol != string(p.protocol):
			return false
		case port.Port == nil:
			return true
		case port.Port.Type == intstr.String:
			return receiver != nil && slices.Contains(receiver.Ports, NamedPort{port.Port.StrVal, p.protocol, p.port})
		case port.EndPort != nil:
			return int32(p.port) >= port.Port.IntVal && int32(p.port) <= *port.EndPort
		}
		return int32(p.port) == port.Port.IntVal
	})
}

// RandomPolicies makes valid policies for the pods of the tests' world.
func RandomPolicies(random *rand.Rand, count int) []*networkingv1.NetworkPolicy {
	var out []*networkingv1.NetworkPolicy
	for i := range count {
		np := &networkingv1.NetworkPolicy{}
		np.Namespace, np.Name = pick(random, "x", "y", "z"), string(rune('a'+i))
		np.Spec.PodSelector = randomSelector(random, "pod")
		np.Spec.PolicyTypes = pick(random, nil, []networkingv1.PolicyType{"Ingress"},
			[]networkingv1.PolicyType{"Egress"}, []networkingv1.PolicyType{"Ingress", "Egress"})
		for range random.IntN(3) {
			np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: randomPeers(random), Ports: randomPorts(random)})
		}
		for range random.IntN(3) {
			np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: randomPeers(random), Ports: randomPorts(random)})
		}
		out = append(out, np)
	}
	return out
}

func randomSelector(random *rand.Rand, key string) metav1.LabelSelector {
	values := map[string][]string{"pod": {"a", "b", "c"}, "ns": {"x", "y", "z"}}[key]
	switch random.IntN(4) {
	case 0:
		return metav1.LabelSelector{}
	case 1:
		return metav1.LabelSelector{MatchLabels: map[string]string{key: pick(random, values...)}}
	case 2:
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: []string{pick(random, values...)},
		}}}
	}
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: key, Operator: pick(random, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist),
	}}}
}

func randomPeers(random *rand.Rand) []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for range random.IntN(3) {
		pods, namespaces := randomSelector(random, "pod"), randomSelector(random, "ns")
		switch random.IntN(4) {
		case 0:
			out = append(out, networkingv1.NetworkPolicyPeer{PodSelector: &pods})
		case 1:
			out = append(out, networkingv1.NetworkPolicyPeer{NamespaceSelector: &namespaces})
		case 2:
			out = append(out, networkingv1.NetworkPolicyPeer{PodSelector: &pods, NamespaceSelector: &namespaces})
		case 3:
			out = append(out, networkingv1.NetworkPolicyPeer{IPBlock: pick(random,
				&networkingv1.IPBlock{CIDR: "0.0.0.0/0"},
				&networkingv1.IPBlock{CIDR: "10.1.0.0/16", Except: []string{"10.1.2.0/24", "10.1.1.2/32"}},
				&networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8"}},
				&networkingv1.IPBlock{CIDR: "10.1.3.1/32"})})
		}
	}
	return out
}

func randomPorts(random *rand.Rand) []networkingv1.NetworkPolicyPort {
	var out []networkingv1.NetworkPolicyPort
	for range random.IntN(3) {
		var port networkingv1.NetworkPolicyPort
		if random.IntN(2) == 0 {
			protocol := pick(random, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
			port.Protocol = &protocol
		}
		switch random.IntN(4) {
		case 0:
			number := intstr.FromInt32(pick(random, int32(80), 81, 65535))
			port.Port = &number
		case 1:
			number, end := intstr.FromInt32(80), pick(random, int32(80), 85, 65535)
			port.Port, port.EndPort = &number, &end
		case 2:
			name := intstr.FromString(pick(random, "web", "serve-80-udp", "serve-81-sctp", "unheard-of"))
			port.Port = &name
		}
		out = append(out, port)
	}
	return out
}
