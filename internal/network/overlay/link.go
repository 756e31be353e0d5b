package overlay

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The overlay's figures: the same in every cluster, since clusters share no network.
const (
	Device   = "berth.1"
	VNI      = 1
	Port     = 8472
	Overhead = 50 // bytes that VXLAN over IPv4 takes of the uplink's MTU
)

// Node is what the overlay needs to know of a node.
type Node struct {
	Addr    netip.Addr   // its InternalIP
	PodCIDR netip.Prefix // its pod range
}

// Gateway is the address of the node's own overlay device: the first of its pod range, which IPAM never gives to a pod.
func (n Node) Gateway() netip.Addr { return n.PodCIDR.Masked().Addr() }

// HardwareAddr is the MAC address of a node's overlay device. It follows from the node's address, so that nodes know
// each other's without telling.
func HardwareAddr(node netip.Addr) net.HardwareAddr {
	sum := sha256.Sum256([]byte("berth overlay " + node.String()))
	mac := net.HardwareAddr(sum[:6])
	mac[0] = mac[0]&^1 | 2 // unicast, locally administered
	return mac
}

// Uplink finds the device that carries addr: the named one, or the one that has the address.
func Uplink(name string, addr netip.Addr) (netlink.Link, error) {
	if name != "" {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return nil, fmt.Errorf("find uplink %s: %w", name, err)
		}
		return link, nil
	}
	addrs, err := netlink.AddrList(nil, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok && ip == addr {
			link, err := netlink.LinkByIndex(a.LinkIndex)
			if err != nil {
				return nil, fmt.Errorf("find uplink with %s: %w", addr, err)
			}
			return link, nil
		}
	}
	return nil, fmt.Errorf("find uplink: no device has the node's address %s", addr)
}

// ensureDevice makes the overlay device as it should be; one with other parameters is replaced.
func ensureDevice(self Node, uplink netlink.Link, mtu int) (netlink.Link, error) {
	want := &netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{
			Name: Device, MTU: mtu, HardwareAddr: HardwareAddr(self.Addr),
		},
		VxlanId:      VNI,
		VtepDevIndex: uplink.Attrs().Index,
		SrcAddr:      self.Addr.AsSlice(),
		Port:         Port,
		Learning:     false,
	}
	link, err := netlink.LinkByName(Device)
	if err == nil && !sameDevice(link, want) {
		if err := netlink.LinkDel(link); err != nil {
			return nil, fmt.Errorf("remove outdated %s: %w", Device, err)
		}
		link = nil
	}
	var notFound netlink.LinkNotFoundError
	if err != nil && !errors.As(err, &notFound) {
		return nil, fmt.Errorf("find %s: %w", Device, err)
	}
	if err != nil || link == nil {
		if err := netlink.LinkAdd(want); err != nil {
			return nil, fmt.Errorf("add %s: %w", Device, err)
		}
		if link, err = netlink.LinkByName(Device); err != nil {
			return nil, fmt.Errorf("find new %s: %w", Device, err)
		}
	}
	if link.Attrs().MTU != mtu {
		if err := netlink.LinkSetMTU(link, mtu); err != nil {
			return nil, fmt.Errorf("set MTU %d of %s: %w", mtu, Device, err)
		}
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(link); err != nil {
			return nil, fmt.Errorf("set %s up: %w", Device, err)
		}
	}
	return link, ensureAddress(link, self.Gateway())
}

func sameDevice(link netlink.Link, want *netlink.Vxlan) bool {
	have, ok := link.(*netlink.Vxlan)
	return ok && have.VxlanId == want.VxlanId && have.VtepDevIndex == want.VtepDevIndex && have.Port == want.Port &&
		have.SrcAddr.Equal(want.SrcAddr) && !have.Learning && bytes.Equal(have.HardwareAddr, want.HardwareAddr)
}

// ensureAddress gives the device its one IPv4 address.
func ensureAddress(link netlink.Link, want netip.Addr) error {
	addrs, err := netlink.AddrList(link, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", Device, err)
	}
	found := false
	for _, addr := range addrs {
		if ip, ok := netip.AddrFromSlice(addr.IP.To4()); ok && ip == want {
			found = true
			continue
		}
		if err := netlink.AddrDel(link, &addr); err != nil {
			return fmt.Errorf("remove address %s of %s: %w", addr.IPNet, Device, err)
		}
	}
	if found {
		return nil
	}
	addr := &netlink.Addr{IPNet: hostNet(want)}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address %s to %s: %w", want, Device, err)
	}
	return nil
}

func hostNet(addr netip.Addr) *net.IPNet {
	return &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(32, 32)}
}
