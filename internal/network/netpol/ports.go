package netpol

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// portMatches gives one match for each protocol that a rule's ports name. A named port of an ingress rule is a port of
// the selected pod, so it becomes a number here.
func portMatches(c *ruleContext) []Match {
	if c.rule.AnyPort {
		return []Match{{}}
	}
	var out []Match
	for _, protocol := range []Protocol{TCP, UDP, SCTP} {
		var ranges []Range
		whole := false
		for _, port := range c.rule.Ports {
			switch {
			case port.Protocol != protocol:
			case port.Name != "" && c.direction == Ingress:
				ranges = append(ranges, namedPorts(c.pod, protocol, port.Name)...)
			case port.Name != "":
			case port.First == 0:
				whole = true
			default:
				ranges = append(ranges, Range{port.First, port.Last})
			}
		}
		switch {
		case whole:
			out = append(out, Match{Protocol: protocol})
		case len(ranges) > 0:
			out = append(out, Match{Protocol: protocol, Ports: union(ranges)})
		}
	}
	return out
}

func namedPorts(pod *Pod, protocol Protocol, name string) []Range {
	var out []Range
	for _, port := range pod.Ports {
		if port.Name == name && port.Protocol == protocol {
			out = append(out, Range{port.Port, port.Port})
		}
	}
	return out
}

// union sorts ranges and joins those that overlap or touch.
func union(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	out := ranges[:1]
	for _, next := range ranges[1:] {
		last := &out[len(out)-1]
		if uint32(next.First) <= uint32(last.Last)+1 {
			last.Last = max(last.Last, next.Last)
			continue
		}
		out = append(out, next)
	}
	return out
}

// endpoints returns the name of the set that an egress rule's named ports mean for one peer: each pod of the peer with
// its own number for the name. It is empty when the rule names none.
func (d *decision) endpoints(c *ruleContext, p peer) string {
	if c.direction != Egress {
		return ""
	}
	var named []Port
	for _, port := range c.rule.Ports {
		if port.Name != "" {
			named = append(named, port)
		}
	}
	if len(named) == 0 {
		return ""
	}
	var key strings.Builder
	key.WriteString(p.setKey())
	for _, port := range named {
		fmt.Fprintf(&key, " %s/%s", port.Protocol, port.Name)
	}
	name := "endpoints-" + digest(key.String())
	if _, done := d.out.Sets[name]; done {
		return name
	}
	set := &Set{Kind: Endpoints, Elements: map[string]struct{}{}}
	d.out.Sets[name] = set
	d.eachPod(&p, func(pod *Pod) {
		for _, port := range named {
			for _, found := range namedPorts(pod, port.Protocol, port.Name) {
				set.Elements[fmt.Sprintf("%s . %s . %d", pod.IP, port.Protocol, found.First)] = struct{}{}
			}
		}
	})
	return name
}
