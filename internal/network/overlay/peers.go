package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Sync makes the device and its entries equal to the list of nodes; self is left out of peers. It returns the overlay's
// MTU. Calling it again without a change does nothing. Entries of one peer that cannot be written do not keep the
// others from it.
func Sync(self Node, peers []Node, uplinkName string, mtu int) (int, error) {
	uplink, err := Uplink(uplinkName, self.Addr)
	if err != nil {
		return 0, err
	}
	if mtu == 0 {
		mtu = uplink.Attrs().MTU - Overhead
	}
	link, err := ensureDevice(self, uplink, mtu)
	if err != nil {
		return 0, err
	}
	wanted := map[netip.Addr]Node{}
	for _, peer := range peers {
		if peer.Addr != self.Addr {
			wanted[peer.Addr] = peer
		}
	}
	// Entries before routes: a packet that finds a route without them is lost.
	err = errors.Join(syncForwarding(link, wanted), syncNeighbours(link, wanted), syncRoutes(link, wanted))
	if err != nil {
		return mtu, fmt.Errorf("sync %s: %w", Device, err)
	}
	return mtu, nil
}

// syncForwarding keeps one entry for each peer: its device's MAC is behind its node's address.
func syncForwarding(link netlink.Link, peers map[netip.Addr]Node) error {
	have, err := netlink.NeighList(link.Attrs().Index, unix.AF_BRIDGE)
	if err != nil {
		return fmt.Errorf("list forwarding entries: %w", err)
	}
	var errs []error
	missing := cloneNodes(peers)
	for i := range have {
		addr, _ := netip.AddrFromSlice(have[i].IP.To4())
		if peer, wanted := missing[addr]; wanted && bytes.Equal(have[i].HardwareAddr, HardwareAddr(peer.Addr)) {
			delete(missing, addr)
			continue
		}
		have[i].Family, have[i].Flags = unix.AF_BRIDGE, netlink.NTF_SELF
		errs = append(errs, wrap("remove forwarding entry", have[i].IP, netlink.NeighDel(&have[i])))
	}
	for addr := range missing {
		entry := &netlink.Neigh{
			LinkIndex: link.Attrs().Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF,
			State: netlink.NUD_PERMANENT, IP: addr.AsSlice(), HardwareAddr: HardwareAddr(addr),
		}
		errs = append(errs, wrap("add forwarding entry", addr, netlink.NeighSet(entry)))
	}
	return errors.Join(errs...)
}

// syncNeighbours keeps one entry for each peer: its gateway address has its device's MAC.
func syncNeighbours(link netlink.Link, peers map[netip.Addr]Node) error {
	have, err := netlink.NeighList(link.Attrs().Index, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("list neighbours: %w", err)
	}
	var errs []error
	missing := map[netip.Addr]net.HardwareAddr{}
	for _, peer := range peers {
		missing[peer.Gateway()] = HardwareAddr(peer.Addr)
	}
	for i := range have {
		addr, _ := netip.AddrFromSlice(have[i].IP.To4())
		mac, wanted := missing[addr]
		if wanted && bytes.Equal(have[i].HardwareAddr, mac) && have[i].State&netlink.NUD_PERMANENT != 0 {
			delete(missing, addr)
			continue
		}
		if !wanted && have[i].State&netlink.NUD_PERMANENT != 0 {
			errs = append(errs, wrap("remove neighbour", addr, netlink.NeighDel(&have[i])))
		}
	}
	for addr, mac := range missing {
		entry := &netlink.Neigh{
			LinkIndex: link.Attrs().Index, Family: unix.AF_INET,
			State: netlink.NUD_PERMANENT, IP: addr.AsSlice(), HardwareAddr: mac,
		}
		errs = append(errs, wrap("add neighbour", addr, netlink.NeighSet(entry)))
	}
	return errors.Join(errs...)
}

// syncRoutes keeps one route for each peer's pod range.
func syncRoutes(link netlink.Link, peers map[netip.Addr]Node) error {
	have, err := netlink.RouteListFiltered(unix.AF_INET,
		&netlink.Route{LinkIndex: link.Attrs().Index, Table: unix.RT_TABLE_MAIN},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	var errs []error
	missing := map[netip.Prefix]netip.Addr{}
	for _, peer := range peers {
		missing[peer.PodCIDR.Masked()] = peer.Gateway()
	}
	for i := range have {
		dst, _ := prefixOf(have[i].Dst)
		via, _ := netip.AddrFromSlice(have[i].Gw.To4())
		if gateway, wanted := missing[dst]; wanted && gateway == via {
			delete(missing, dst)
			continue
		}
		if _, replaced := missing[dst]; !replaced {
			errs = append(errs, wrap("remove route", dst, netlink.RouteDel(&have[i])))
		}
	}
	for dst, via := range missing {
		route := &netlink.Route{
			LinkIndex: link.Attrs().Index, Gw: via.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
			Dst: &net.IPNet{IP: dst.Addr().AsSlice(), Mask: net.CIDRMask(dst.Bits(), 32)},
		}
		errs = append(errs, wrap("set route", dst, netlink.RouteReplace(route)))
	}
	return errors.Join(errs...)
}

func prefixOf(ipnet *net.IPNet) (netip.Prefix, bool) {
	if ipnet == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(ipnet.IP.To4())
	bits, _ := ipnet.Mask.Size()
	return netip.PrefixFrom(addr, bits), ok
}

func cloneNodes(nodes map[netip.Addr]Node) map[netip.Addr]Node {
	out := make(map[netip.Addr]Node, len(nodes))
	for addr, node := range nodes {
		out[addr] = node
	}
	return out
}

// wrap names the action of an error. What has gone by itself needs no removal.
func wrap(action string, object any, err error) error {
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return fmt.Errorf("%s %v: %w", action, object, err)
}
