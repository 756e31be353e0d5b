package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Guard says which addresses may be dialled. It is asked about the address itself, after
// names were resolved, so that no name leads to what it refuses.
type Guard struct {
	// Own are Berth's own networks.
	Own []netip.Prefix
	// Allowed may be reached whatever else is said.
	Allowed []netip.Prefix
}

// never are the ranges that are nobody's endpoint on a network: this host, the link, and
// what has no single host. Private ranges are not among them.
var never = prefixes(
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "2001::/32", "fe80::/10", "fec0::/10", "ff00::/8",
)

// embedded are the IPv6 ranges that carry an IPv4 address at an offset: what lies behind
// them is what counts.
var embedded = []struct {
	in     netip.Prefix
	offset int
}{
	{netip.MustParsePrefix("::/96"), 12},
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

var errRefused = errors.New("this address is not for webhooks: it is Berth's own, this host's, or nobody's")

func prefixes(texts ...string) []netip.Prefix {
	made := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		made = append(made, netip.MustParsePrefix(text))
	}
	return made
}

// ParseRanges reads CIDRs.
func ParseRanges(texts []string) ([]netip.Prefix, error) {
	made := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("read range %q: %w", text, err)
		}
		made = append(made, prefix.Masked())
	}
	return made, nil
}

// Check returns an error for an address that must not be dialled.
func (g Guard) Check(address netip.Addr) error {
	address = address.Unmap().WithZone("")
	if !address.IsValid() {
		return errRefused
	}
	if within(g.Allowed, address) {
		return nil
	}
	if within(never, address) || within(g.Own, address) {
		return errRefused
	}
	for _, form := range embedded {
		if form.in.Contains(address) {
			raw := address.As16()
			return g.Check(netip.AddrFrom4([4]byte(raw[form.offset : form.offset+4])))
		}
	}
	return nil
}

func within(ranges []netip.Prefix, address netip.Addr) bool {
	for _, one := range ranges {
		if one.Contains(address) {
			return true
		}
	}
	return false
}

// control is net.Dialer's: it sees the address that is about to be dialled.
func (g Guard) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return errRefused
	}
	if err := g.Check(at.Addr()); err != nil {
		return err
	}
	return g.checkOwnInterfaces(at.Addr())
}

// checkOwnInterfaces refuses the addresses of the host that this process is on.
func (g Guard) checkOwnInterfaces(address netip.Addr) error {
	address = address.Unmap().WithZone("")
	if within(g.Allowed, address) {
		return nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("read this host's addresses: %w", err)
	}
	for _, one := range own {
		if prefix, err := netip.ParsePrefix(one.String()); err == nil && prefix.Addr().Unmap() == address {
			return errRefused
		}
	}
	return nil
}
