package netpol

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/labels"
)

// Direction says which side of a connection a policy restricts.
type Direction uint8

// The two directions of a policy, seen from the selected pod.
const (
	Ingress Direction = iota
	Egress
)

// String returns "ingress" or "egress".
func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}

// Protocol is an IP protocol that a NetworkPolicy can name, in nftables' spelling.
type Protocol string

// The protocols of a NetworkPolicyPort.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// NamedPort is a container port that a policy can refer to by name.
type NamedPort struct {
	Name     string
	Protocol Protocol
	Port     uint16
}

// Pod is what the decision needs to know of a pod that has an address.
type Pod struct {
	Namespace, Name string
	Labels          labels.Set
	IP              netip.Addr // IPv4
	Local           bool       // whether the pod runs on the node that is decided for
	Ports           []NamedPort
}

// State is everything that Decide depends on. Pods on the host network, finished pods and pods without an address are
// left out by the caller.
type State struct {
	Pods       []Pod
	Namespaces map[string]labels.Set // by name
	Policies   []*Policy
}

// Policy is a compiled NetworkPolicy. It is immutable.
type Policy struct {
	Namespace, Name string
	Selector        labels.Selector
	Restricts       [2]bool    // by Direction: whether a selected pod is isolated
	Rules           [2][]*Rule // by Direction: what is allowed all the same
}

// Rule allows traffic with any of its peers on any of its ports.
type Rule struct {
	AnyPeer bool
	Peers   []Peer
	AnyPort bool
	Ports   []Port
}

// Peer is one of: pods (Pods not nil), or addresses (Pods nil).
type Peer struct {
	Pods       labels.Selector
	Namespaces labels.Selector // nil: the policy's own namespace
	Blocks     []netip.Prefix  // an ipBlock less its exceptions, as disjoint prefixes; none for an IPv6 block
	key        string          // the peer's source text, to recognise equal ones
}

// Port is a protocol with all its ports (First is 0 and Name is empty), a range of ports, or a named port.
type Port struct {
	Protocol    Protocol
	First, Last uint16
	Name        string
}
