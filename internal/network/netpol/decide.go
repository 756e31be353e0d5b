package netpol

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Decide computes the rules of one node. Equal states give equal rule sets, in whatever order they are listed.
func Decide(state *State) *RuleSet {
	d := newDecision(state)
	for i := range state.Pods {
		pod := &state.Pods[i]
		if !pod.Local || d.ambiguous[pod.IP] {
			continue
		}
		d.out.Known = append(d.out.Known, pod.IP)
		for _, direction := range []Direction{Ingress, Egress} {
			if profile, isolated := d.profile(pod, direction); isolated {
				d.out.Isolated[direction][pod.IP] = d.name(profile)
			}
		}
	}
	slices.SortFunc(d.out.Known, netip.Addr.Compare)
	return d.out
}

// decision holds the indices of one run of Decide.
type decision struct {
	state     *State
	policies  map[string][]*Policy // by namespace, in order of name
	pods      map[string][]*Pod    // by namespace
	ambiguous map[netip.Addr]bool  // claimed by two local pods: whose policies would count is unknowable
	out       *RuleSet
}

func newDecision(state *State) *decision {
	d := &decision{
		state:     state,
		policies:  map[string][]*Policy{},
		pods:      map[string][]*Pod{},
		ambiguous: map[netip.Addr]bool{},
		out: &RuleSet{
			Profiles: map[string]*Profile{},
			Sets:     map[string]*Set{},
		},
	}
	d.out.Isolated[Ingress] = map[netip.Addr]string{}
	d.out.Isolated[Egress] = map[netip.Addr]string{}
	for _, policy := range state.Policies {
		d.policies[policy.Namespace] = append(d.policies[policy.Namespace], policy)
	}
	for _, list := range d.policies {
		slices.SortFunc(list, func(a, b *Policy) int { return cmp.Compare(a.Name, b.Name) })
	}
	local := map[netip.Addr]bool{}
	for i := range state.Pods {
		pod := &state.Pods[i]
		d.pods[pod.Namespace] = append(d.pods[pod.Namespace], pod)
		if pod.Local {
			d.ambiguous[pod.IP] = local[pod.IP]
			local[pod.IP] = true
		}
	}
	return d
}

// profile collects what the policies that select the pod allow it in one direction.
func (d *decision) profile(pod *Pod, direction Direction) (*Profile, bool) {
	profile := &Profile{Direction: direction}
	isolated := false
	for _, policy := range d.policies[pod.Namespace] {
		if !policy.Restricts[direction] || !policy.Selector.Matches(pod.Labels) {
			continue
		}
		isolated = true
		for _, rule := range policy.Rules[direction] {
			matches := d.matches(&ruleContext{rule: rule, policy: policy, pod: pod, direction: direction})
			profile.Matches = append(profile.Matches, matches...)
		}
	}
	return profile, isolated
}

// name files the profile under a name made from its content.
func (d *decision) name(profile *Profile) string {
	var text strings.Builder
	for i := range profile.Matches {
		fmt.Fprintf(&text, "%v\n", profile.Matches[i])
	}
	name := profile.Direction.String() + "-" + digest(text.String())
	d.out.Profiles[name] = profile
	return name
}

// ruleContext is one rule of one policy as it applies to one selected pod.
type ruleContext struct {
	rule      *Rule
	policy    *Policy
	pod       *Pod
	direction Direction
}

// matches expands a rule: each of its peers with each of its kinds of ports.
func (d *decision) matches(c *ruleContext) []Match {
	var out []Match
	owner := c.policy.Namespace + "/" + c.policy.Name
	ports := portMatches(c)
	for _, peer := range d.peers(c) {
		for _, match := range ports {
			match.Policy = owner
			if peer.any {
				out = append(out, match)
				continue
			}
			match.Peers = d.peerSet(peer)
			out = append(out, match)
		}
		if endpoints := d.endpoints(c, peer); endpoints != "" {
			out = append(out, Match{Endpoints: endpoints, Policy: owner})
		}
	}
	return out
}

// peer is a rule's peer bound to its policy's namespace.
type peer struct {
	any bool
	Peer
	namespace string
}

func (p *peer) setKey() string {
	switch {
	case p.any:
		return "any"
	case p.Pods == nil:
		return fmt.Sprint("blocks ", p.Blocks)
	case p.Namespaces == nil:
		return p.namespace + " " + p.key
	default:
		return p.key
	}
}

func (d *decision) peers(c *ruleContext) []peer {
	if c.rule.AnyPeer {
		return []peer{{any: true}}
	}
	out := make([]peer, 0, len(c.rule.Peers))
	for _, p := range c.rule.Peers {
		out = append(out, peer{Peer: p, namespace: c.policy.Namespace})
	}
	return out
}

// peerSet returns the name of the set of a peer's addresses, and fills it when it is first asked for.
func (d *decision) peerSet(p peer) string {
	kind, prefix := Addresses, "pods-"
	if p.Pods == nil {
		kind, prefix = Blocks, "blocks-"
	}
	name := prefix + digest(p.setKey())
	if _, done := d.out.Sets[name]; done {
		return name
	}
	set := &Set{Kind: kind, Elements: map[string]struct{}{}}
	d.out.Sets[name] = set
	for _, block := range p.Blocks {
		set.Elements[block.String()] = struct{}{}
	}
	if p.Pods != nil {
		d.eachPod(&p, func(pod *Pod) { set.Elements[pod.IP.String()] = struct{}{} })
	}
	return name
}

// eachPod visits the pods that are a peer's.
func (d *decision) eachPod(p *peer, visit func(*Pod)) {
	for namespace, pods := range d.pods {
		if !p.coversNamespace(namespace, d.state) {
			continue
		}
		for _, pod := range pods {
			if p.coversPod(pod) {
				visit(pod)
			}
		}
	}
}

func (p *peer) coversNamespace(namespace string, state *State) bool {
	switch {
	case p.any || p.Pods == nil:
		return true
	case p.Namespaces == nil:
		return namespace == p.namespace
	}
	labels, known := state.Namespaces[namespace]
	return known && p.Namespaces.Matches(labels)
}

func (p *peer) coversPod(pod *Pod) bool {
	switch {
	case p.any:
		return true
	case p.Pods != nil:
		return p.Pods.Matches(pod.Labels)
	}
	return slices.ContainsFunc(p.Blocks, func(block netip.Prefix) bool { return block.Contains(pod.IP) })
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
