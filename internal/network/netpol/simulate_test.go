package netpol

import (
	"fmt"
	"net/netip"
)

// packet is the first packet of a connection, as the forward hook sees it.
type packet struct {
	from, to netip.Addr
	protocol Protocol // "icmp" is one that no port of a policy names
	port     uint16
}

// passes evaluates a rule set the way the rendered table does.
func (r *RuleSet) passes(p packet) bool {
	if p.from == p.to {
		return true
	}
	return r.side(Egress, p.from, p.to, p) && r.side(Ingress, p.to, p.from, p)
}

func (r *RuleSet) side(direction Direction, mine, other netip.Addr, p packet) bool {
	name, isolated := r.Isolated[direction][mine]
	if !isolated {
		return true
	}
	profile := r.Profiles[name]
	for i := range profile.Matches {
		if r.matches(&profile.Matches[i], other, p) {
			return true
		}
	}
	return false
}

func (r *RuleSet) matches(m *Match, other netip.Addr, p packet) bool {
	if m.Peers != "" && !r.Sets[m.Peers].has(other) {
		return false
	}
	if m.Endpoints != "" {
		key := fmt.Sprintf("%s . %s . %d", other, p.protocol, p.port)
		if _, ok := r.Sets[m.Endpoints].Elements[key]; !ok {
			return false
		}
	}
	if m.Protocol != "" && m.Protocol != p.protocol {
		return false
	}
	for _, ports := range m.Ports {
		if p.port >= ports.First && p.port <= ports.Last {
			return true
		}
	}
	return len(m.Ports) == 0
}

func (s *Set) has(addr netip.Addr) bool {
	if s.Kind == Addresses {
		_, ok := s.Elements[addr.String()]
		return ok
	}
	for text := range s.Elements {
		if netip.MustParsePrefix(text).Contains(addr) {
			return true
		}
	}
	return false
}
