package nft

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"

	"berth.dev/berth/internal/network/netpol"
)

// PodInterfaces is the pattern of the node's ends of pod links: the ptp plugin names them so, and nothing else of ours.
const PodInterfaces = `"veth*"`

// Node is what the table depends on besides the NetworkPolicy rule set.
type Node struct {
	PodCIDR    netip.Prefix   // the node's own pod range
	Peers      []netip.Addr   // the addresses of all nodes, this one too
	VXLANPort  uint16         // UDP port of the overlay
	Masquerade bool           // whether pods borrow the node's address outside of Unmasked
	Unmasked   []netip.Prefix // destinations that see pod addresses
}

// Render says what the table must contain. A nil rule set means that NetworkPolicy is off.
//
//	prerouting   a pod sends only with its own address, and nobody else sends with a local pod's
//	input        the overlay takes packets from nodes alone; pods reach the node as their egress policies say
//	forward      policies of local pods, as sender and as receiver
//	postrouting  masquerading
func Render(node *Node, rules *netpol.RuleSet) *Table {
	t := &Table{Chains: map[string]Chain{}, Sets: map[string]Set{}, Maps: map[string]Map{}}
	peers := Set{Type: "ipv4_addr", Elements: map[string]struct{}{}}
	for _, addr := range node.Peers {
		peers.Elements[addr.String()] = struct{}{}
	}
	t.Sets["nodes"] = peers
	t.guards(node)
	if node.Masquerade {
		t.masquerade(node)
	}
	if rules != nil {
		t.policies(node, rules)
	}
	return t
}

func (t *Table) guards(node *Node) {
	// Pods have no IPv6 here; what they send in it would pass by every rule below.
	t.Chains["prerouting"] = Chain{
		Base: &Base{knftables.FilterType, knftables.PreroutingHook, knftables.RawPriority},
		Rules: []Rule{
			{"iifname " + PodInterfaces + " meta nfproto ipv6 drop", "pods have no IPv6"},
			{"iifname " + PodInterfaces + " fib saddr . iif oif missing drop", "source is not the pod's"},
			{fmt.Sprintf(`iifname != %s iifname != "lo" ip saddr %s drop`, PodInterfaces, node.PodCIDR), "local pod's address from elsewhere"},
		},
	}
	overlay := fmt.Sprintf("udp dport %d", node.VXLANPort)
	t.Chains["input"] = Chain{
		Base: &Base{knftables.FilterType, knftables.InputHook, knftables.FilterPriority},
		Rules: []Rule{
			{overlay + " iifname " + PodInterfaces + " drop", "overlay packets made by a pod"},
			{overlay + " ip saddr != @nodes drop", "overlay packets from no node"},
			{overlay + " meta nfproto ipv6 drop", "the overlay is IPv4"},
		},
	}
	// A pod's packet would leave with the node's address and be taken for the overlay's by the other node.
	t.Chains["forward"] = Chain{
		Base: &Base{knftables.FilterType, knftables.ForwardHook, knftables.FilterPriority},
		Rules: []Rule{
			{"iifname " + PodInterfaces + " " + overlay + " ip daddr @nodes drop", "overlay packets made by a pod"},
		},
	}
}

func (t *Table) masquerade(node *Node) {
	unmasked := Set{Type: "ipv4_addr", Interval: true, Elements: map[string]struct{}{}}
	for _, prefix := range disjoint(append(slices.Clone(node.Unmasked), netip.MustParsePrefix("224.0.0.0/4"))) {
		unmasked.Elements[prefix.String()] = struct{}{}
	}
	t.Sets["unmasked"] = unmasked
	t.Chains["postrouting"] = Chain{
		Base: &Base{knftables.NATType, knftables.PostroutingHook, knftables.SNATPriority},
		Rules: []Rule{
			{fmt.Sprintf("ip saddr %s ip daddr != @unmasked masquerade fully-random", node.PodCIDR), ""},
		},
	}
}

// disjoint drops the prefixes that lie within others: an interval set must not hold overlapping ones.
func disjoint(prefixes []netip.Prefix) []netip.Prefix {
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
	var out []netip.Prefix
	for _, prefix := range prefixes {
		prefix = prefix.Masked()
		inside := func(p netip.Prefix) bool { return p.Overlaps(prefix) }
		if prefix.Addr().Is4() && !slices.ContainsFunc(out, inside) {
			out = append(out, prefix)
		}
	}
	return out
}

// policies adds the rule set. A packet that its sender's egress rules allow returns from chain egress and goes on to
// chain ingress; what they do not allow is dropped at the end of the sender's profile.
func (t *Table) policies(node *Node, rules *netpol.RuleSet) {
	known := Set{Type: "ipv4_addr", Elements: map[string]struct{}{}}
	self := Set{Type: "ipv4_addr . ipv4_addr", Elements: map[string]struct{}{}}
	for _, addr := range rules.Known {
		known.Elements[addr.String()] = struct{}{}
		self.Elements[addr.String()+" . "+addr.String()] = struct{}{}
	}
	t.Sets["known"], t.Sets["self"] = known, self
	for name, set := range rules.Sets {
		t.Sets[name] = renderSet(set)
	}
	for name, profile := range rules.Profiles {
		t.Chains[name] = renderProfile(profile)
	}
	established := Rule{Text: "ct state established,related accept"}
	forward, input := t.Chains["forward"], t.Chains["input"]
	// Who dials a pod that is gone, or not there yet, is told at once: a dropped SYN keeps a
	// client, such as an API server whose etcd was replaced, waiting for up to 20 seconds.
	nobody := Rule{fmt.Sprintf("ip daddr %s ip daddr != @known meta l4proto tcp reject with tcp reset", node.PodCIDR), "a connection to no pod"}
	forward.Rules = append(forward.Rules, established, nobody, Rule{Text: "jump egress"}, Rule{Text: "jump ingress"})
	input.Rules = append(input.Rules, established, Rule{Text: "jump egress"})
	t.Chains["forward"], t.Chains["input"] = forward, input
	for _, direction := range []netpol.Direction{netpol.Egress, netpol.Ingress} {
		mine := "ip daddr"
		if direction == netpol.Egress {
			mine = "ip saddr"
		}
		verdicts := Map{Type: "ipv4_addr : verdict", Elements: map[string]string{}}
		for addr, profile := range rules.Isolated[direction] {
			verdicts.Elements[addr.String()] = "goto " + profile
		}
		name := direction.String()
		t.Maps[name+"-profiles"] = verdicts
		t.Chains[name] = Chain{Rules: []Rule{
			{"ip saddr . ip daddr @self return", "a pod may always reach itself"},
			{fmt.Sprintf("%s vmap @%s-profiles", mine, name), ""},
			{fmt.Sprintf("%s %s %s != @known drop", mine, node.PodCIDR, mine), "pod whose policies are not known yet"},
		}}
	}
}

func renderSet(set *netpol.Set) Set {
	switch set.Kind {
	case netpol.Blocks:
		return Set{Type: "ipv4_addr", Interval: true, Elements: set.Elements}
	case netpol.Endpoints:
		return Set{Type: "ipv4_addr . inet_proto . inet_service", Elements: set.Elements}
	default:
		return Set{Type: "ipv4_addr", Elements: set.Elements}
	}
}

func renderProfile(profile *netpol.Profile) Chain {
	var chain Chain
	for i := range profile.Matches {
		chain.Rules = append(chain.Rules, renderMatch(profile.Direction, &profile.Matches[i]))
	}
	chain.Rules = append(chain.Rules, Rule{Text: "drop"})
	return chain
}

func renderMatch(direction netpol.Direction, match *netpol.Match) Rule {
	other := "ip saddr"
	if direction == netpol.Egress {
		other = "ip daddr"
	}
	var words []string
	if match.Peers != "" {
		words = append(words, other, "@"+match.Peers)
	}
	if match.Endpoints != "" {
		words = append(words, other, ". meta l4proto . th dport", "@"+match.Endpoints)
	}
	if match.Protocol != "" {
		words = append(words, "meta l4proto", string(match.Protocol))
	}
	if len(match.Ports) > 0 {
		words = append(words, "th dport", renderPorts(match.Ports))
	}
	words = append(words, "return")
	comment := match.Policy
	if len(comment) > knftables.CommentLengthMax {
		comment = comment[:knftables.CommentLengthMax]
	}
	return Rule{Text: strings.Join(words, " "), Comment: comment}
}

func renderPorts(ranges []netpol.Range) string {
	words := make([]string, len(ranges))
	for i, r := range ranges {
		words[i] = fmt.Sprint(r.First)
		if r.Last != r.First {
			words[i] = fmt.Sprintf("%d-%d", r.First, r.Last)
		}
	}
	return "{ " + strings.Join(words, ", ") + " }"
}
