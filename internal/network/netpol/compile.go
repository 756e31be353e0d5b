package netpol

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Compile prepares a NetworkPolicy for Decide. The Policy is always usable and fails closed: a part that the API server
// should have refused allows nothing, and a pod selector that does not parse selects the whole namespace. The error
// says which parts those were.
func Compile(np *networkingv1.NetworkPolicy) (*Policy, error) {
	p := &Policy{Namespace: np.Namespace, Name: np.Name}
	var errs []error
	selector, err := metav1.LabelSelectorAsSelector(&np.Spec.PodSelector)
	if err != nil {
		errs = append(errs, fmt.Errorf("spec.podSelector: %w", err))
		selector = labels.Everything()
	}
	p.Selector = selector
	p.Restricts = restricts(&np.Spec)
	for i, rule := range np.Spec.Ingress {
		compiled, err := compileRule(rule.From, rule.Ports)
		if err != nil {
			errs = append(errs, fmt.Errorf("spec.ingress[%d]: %w", i, err))
		}
		p.Rules[Ingress] = append(p.Rules[Ingress], compiled)
	}
	for i, rule := range np.Spec.Egress {
		compiled, err := compileRule(rule.To, rule.Ports)
		if err != nil {
			errs = append(errs, fmt.Errorf("spec.egress[%d]: %w", i, err))
		}
		p.Rules[Egress] = append(p.Rules[Egress], compiled)
	}
	if err := errors.Join(errs...); err != nil {
		return p, fmt.Errorf("compile NetworkPolicy %s/%s: %w", np.Namespace, np.Name, err)
	}
	return p, nil
}

// restricts applies the defaults of spec.policyTypes: Ingress always, Egress when there are egress rules.
func restricts(spec *networkingv1.NetworkPolicySpec) [2]bool {
	if len(spec.PolicyTypes) == 0 {
		return [2]bool{Ingress: true, Egress: len(spec.Egress) > 0}
	}
	var out [2]bool
	for _, t := range spec.PolicyTypes {
		switch t {
		case networkingv1.PolicyTypeIngress:
			out[Ingress] = true
		case networkingv1.PolicyTypeEgress:
			out[Egress] = true
		}
	}
	return out
}

func compileRule(peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) (*Rule, error) {
	rule := &Rule{AnyPeer: len(peers) == 0, AnyPort: len(ports) == 0}
	var errs []error
	for i := range peers {
		peer, err := compilePeer(&peers[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("peer %d: %w", i, err))
			continue
		}
		rule.Peers = append(rule.Peers, peer)
	}
	for i := range ports {
		port, err := compilePort(&ports[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("port %d: %w", i, err))
			continue
		}
		rule.Ports = append(rule.Ports, port)
	}
	return rule, errors.Join(errs...)
}

func compilePeer(peer *networkingv1.NetworkPolicyPeer) (Peer, error) {
	if peer.IPBlock != nil {
		if peer.PodSelector != nil || peer.NamespaceSelector != nil {
			return Peer{}, errors.New("ipBlock excludes selectors")
		}
		return compileBlock(peer.IPBlock)
	}
	if peer.PodSelector == nil && peer.NamespaceSelector == nil {
		return Peer{}, errors.New("neither ipBlock nor a selector is set")
	}
	out := Peer{Pods: labels.Everything(), key: "own"}
	var err error
	if peer.PodSelector != nil {
		if out.Pods, err = metav1.LabelSelectorAsSelector(peer.PodSelector); err != nil {
			return Peer{}, fmt.Errorf("podSelector: %w", err)
		}
	}
	if peer.NamespaceSelector != nil {
		if out.Namespaces, err = metav1.LabelSelectorAsSelector(peer.NamespaceSelector); err != nil {
			return Peer{}, fmt.Errorf("namespaceSelector: %w", err)
		}
		out.key = "in " + out.Namespaces.String()
	}
	out.key += " pods " + out.Pods.String()
	return out, nil
}

func compileBlock(block *networkingv1.IPBlock) (Peer, error) {
	cidr, err := netip.ParsePrefix(block.CIDR)
	if err != nil {
		return Peer{}, fmt.Errorf("ipBlock.cidr: %w", err)
	}
	peer := Peer{}
	if !cidr.Addr().Is4() {
		return peer, nil
	}
	peer.Blocks = []netip.Prefix{cidr.Masked()}
	for _, text := range block.Except {
		except, err := netip.ParsePrefix(text)
		if err != nil {
			return Peer{}, fmt.Errorf("ipBlock.except: %w", err)
		}
		var rest []netip.Prefix
		for _, prefix := range peer.Blocks {
			rest = subtract(rest, prefix, except.Masked())
		}
		peer.Blocks = rest
	}
	return peer, nil
}

// subtract appends what is left of prefix without except, in order, as the fewest prefixes.
func subtract(out []netip.Prefix, prefix, except netip.Prefix) []netip.Prefix {
	switch {
	case !prefix.Overlaps(except):
		return append(out, prefix)
	case except.Bits() <= prefix.Bits():
		return out
	}
	low := netip.PrefixFrom(prefix.Addr(), prefix.Bits()+1)
	high := netip.PrefixFrom(upperHalf(prefix), prefix.Bits()+1)
	return subtract(subtract(out, low, except), high, except)
}

func upperHalf(prefix netip.Prefix) netip.Addr {
	bytes := prefix.Addr().As4()
	bytes[prefix.Bits()/8] |= 0x80 >> (prefix.Bits() % 8)
	return netip.AddrFrom4(bytes)
}

func compilePort(port *networkingv1.NetworkPolicyPort) (Port, error) {
	protocol := TCP
	if port.Protocol != nil {
		var ok bool
		if protocol, ok = ProtocolOf(*port.Protocol); !ok {
			return Port{}, fmt.Errorf("protocol %q is unknown", *port.Protocol)
		}
	}
	out := Port{Protocol: protocol}
	if port.Port == nil {
		if port.EndPort != nil {
			return Port{}, errors.New("endPort needs port")
		}
		return out, nil
	}
	if port.Port.Type == intstr.String {
		if port.EndPort != nil || port.Port.StrVal == "" {
			return Port{}, fmt.Errorf("port %q: a named port has a name and no endPort", port.Port.StrVal)
		}
		out.Name = port.Port.StrVal
		return out, nil
	}
	first, last := port.Port.IntVal, port.Port.IntVal
	if port.EndPort != nil {
		last = *port.EndPort
	}
	if first < 1 || last < first || last > math.MaxUint16 {
		return Port{}, fmt.Errorf("ports %d to %d are not a range", first, last)
	}
	out.First, out.Last = uint16(first), uint16(last)
	return out, nil
}

// ProtocolOf translates the API's protocol; an empty one is TCP.
func ProtocolOf(protocol corev1.Protocol) (Protocol, bool) {
	switch protocol {
	case "", corev1.ProtocolTCP:
		return TCP, true
	case corev1.ProtocolUDP:
		return UDP, true
	case corev1.ProtocolSCTP:
		return SCTP, true
	}
	return "", false
}
