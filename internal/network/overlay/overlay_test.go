package overlay

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func node(addr, pods string) Node {
	return Node{netip.MustParseAddr(addr), netip.MustParsePrefix(pods)}
}

// inNamespace runs f in a network namespace with a device up0 that has the given addresses.
func inNamespace(t *testing.T, f func() error, addrs ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "up0", MTU: 1500}, PeerName: "far0"}
		err := netlink.LinkAdd(link)
		for _, text := range addrs {
			if addr, bad := netlink.ParseAddr(text); err == nil && bad == nil {
				err = netlink.AddrAdd(link, addr)
			}
		}
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// entries describes everything that the overlay has written.
func entries() ([]string, error) {
	link, err := netlink.LinkByName(Device)
	if err != nil {
		return nil, err
	}
	vxlan := link.(*netlink.Vxlan)
	out := []string{fmt.Sprintf("device vni %d port %d from %s mac %s mtu %d learning %t",
		vxlan.VxlanId, vxlan.Port, vxlan.SrcAddr, vxlan.HardwareAddr, vxlan.MTU, vxlan.Learning)}
	addrs, err := netlink.AddrList(link, unix.AF_INET)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		out = append(out, "address "+addr.IPNet.String())
	}
	for name, family := range map[string]int{"forward": unix.AF_BRIDGE, "neighbour": unix.AF_INET} {
		list, err := netlink.NeighList(link.Attrs().Index, family)
		if err != nil {
			return nil, err
		}
		for _, entry := range list {
			if entry.State&netlink.NUD_PERMANENT != 0 {
				out = append(out, fmt.Sprintf("%s %s %s", name, entry.IP, entry.HardwareAddr))
			}
		}
	}
	routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{LinkIndex: link.Attrs().Index}, netlink.RT_FILTER_OIF)
	if err != nil {
		return nil, err
	}
	for _, route := range routes {
		out = append(out, fmt.Sprintf("route %s via %s", route.Dst, route.Gw))
	}
	slices.Sort(out)
	return out, nil
}

// wanted describes what entries must return.
func wanted(self Node, mtu int, peers ...Node) []string {
	out := []string{
		fmt.Sprintf("device vni 1 port 8472 from %s mac %s mtu %d learning false", self.Addr, HardwareAddr(self.Addr), mtu),
		"address " + self.PodCIDR.Addr().String() + "/32",
	}
	for _, peer := range peers {
		mac := HardwareAddr(peer.Addr)
		out = append(out, fmt.Sprintf("forward %s %s", peer.Addr, mac),
			fmt.Sprintf("neighbour %s %s", peer.PodCIDR.Addr(), mac),
			fmt.Sprintf("route %s via %s", peer.PodCIDR, peer.PodCIDR.Addr()))
	}
	slices.Sort(out)
	return out
}

func TestSyncFollowsTheNodes(t *testing.T) {
	self := node("10.9.0.1", "10.244.1.0/24")
	two, three := node("10.9.0.2", "10.244.2.0/24"), node("10.9.0.3", "10.244.3.0/24")
	steps := []struct {
		why   string
		self  Node
		peers []Node
		mtu   int
		want  []string
	}{
		{"a cluster of one node", self, []Node{self}, 0, wanted(self, 1450)},
		{"nodes join", self, []Node{self, two, three}, 0, wanted(self, 1450, two, three)},
		{"nothing changes", self, []Node{three, two}, 0, wanted(self, 1450, two, three)},
		{"a node comes back with another address and the same range", self, []Node{node("10.9.0.9", "10.244.2.0/24"), three}, 0,
			wanted(self, 1450, node("10.9.0.9", "10.244.2.0/24"), three)},
		{"a node comes back with another range", self, []Node{two, node("10.9.0.3", "10.244.7.0/24")}, 0,
			wanted(self, 1450, two, node("10.9.0.3", "10.244.7.0/24"))},
		{"another MTU", self, []Node{two}, 1300, wanted(self, 1300, two)},
		{"this node gets another range", node("10.9.0.1", "10.244.8.0/24"), []Node{two}, 0,
			wanted(node("10.9.0.1", "10.244.8.0/24"), 1450, two)},
		{"this node gets another address", node("10.9.0.100", "10.244.8.0/24"), []Node{two}, 0,
			wanted(node("10.9.0.100", "10.244.8.0/24"), 1450, two)},
		{"the others leave", self, nil, 0, wanted(self, 1450)},
	}
	inNamespace(t, func() error {
		for _, step := range steps {
			if _, err := Sync(step.self, step.peers, "", step.mtu); err != nil {
				return fmt.Errorf("%s: %w", step.why, err)
			}
			have, err := entries()
			if err != nil {
				return err
			}
			if !slices.Equal(have, step.want) {
				t.Errorf("%s:\n%s\nwant\n%s", step.why, strings.Join(have, "\n"), strings.Join(step.want, "\n"))
			}
		}
		return nil
	}, "10.9.0.1/24", "10.9.0.100/24")
}

func TestUplinkMustExist(t *testing.T) {
	inNamespace(t, func() error {
		self := node("192.0.2.1", "10.244.1.0/24")
		if _, err := Sync(self, nil, "", 0); err == nil {
			t.Error("no device has the address, and no error")
		}
		if _, err := Sync(self, nil, "eth7", 0); err == nil {
			t.Error("the named device does not exist, and no error")
		}
		return nil
	}, "10.9.0.1/24")
}

func TestHardwareAddr(t *testing.T) {
	one, two := HardwareAddr(netip.MustParseAddr("10.9.0.1")), HardwareAddr(netip.MustParseAddr("10.9.0.2"))
	if one.String() == two.String() {
		t.Error("two nodes have one MAC address")
	}
	if one[0]&1 != 0 || one[0]&2 == 0 {
		t.Errorf("%s is not unicast and locally administered", one)
	}
	if again := HardwareAddr(netip.MustParseAddr("10.9.0.1")); again.String() != one.String() {
		t.Error("a node's MAC address changes")
	}
}

func TestSetSysctls(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "net/ipv4/ip_forward")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := SetSysctls(root); err != nil {
		t.Fatalf("parameters that the kernel lacks are passed over: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "1" {
		t.Errorf("ip_forward %q %v", data, err)
	}
}
