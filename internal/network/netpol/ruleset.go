package netpol

import "net/netip"

// RuleSet is the decision for one node: who may talk to its pods and to whom they may talk.
type RuleSet struct {
	// Known are the addresses of the local pods, ascending. Other addresses of the node's pod range get nothing through.
	Known []netip.Addr
	// Isolated gives, by Direction, the profile of each isolated local pod. A known pod that is absent is not isolated.
	Isolated [2]map[netip.Addr]string
	// Profiles by name. Equal profiles are one, so that replicas share it.
	Profiles map[string]*Profile
	// Sets by name: what the profiles' matches refer to.
	Sets map[string]*Set
}

// Profile lists what an isolated pod is still allowed; everything else is dropped.
type Profile struct {
	Direction Direction
	Matches   []Match
}

// Match allows traffic that satisfies all of its fields. An empty field is always satisfied.
type Match struct {
	Peers     string   // a set of addresses: the other side
	Endpoints string   // a set of address, protocol and port: the other side
	Protocol  Protocol // of the packet
	Ports     []Range  // destination ports of Protocol, ascending and disjoint
	Policy    string   // namespace/name of the policy that allows it, for people
}

// Range is the ports from First to Last, both included.
type Range struct{ First, Last uint16 }

// SetKind says what a Set holds.
type SetKind uint8

// The kinds of sets.
const (
	Addresses SetKind = iota // single addresses
	Blocks                   // disjoint prefixes
	Endpoints                // address . protocol . port
)

// Set is a named set of addresses, prefixes or endpoints. Its name depends on what it stands for, not on its present
// elements, so that a pod that comes or goes changes one element.
type Set struct {
	Kind     SetKind
	Elements map[string]struct{} // in nftables' spelling
}
