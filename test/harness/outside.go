package harness

import (
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// outsideLink is the test's end of the cable to the outside.
const outsideLink = "outside"

// ListenOutside listens at an address of another network, one hop away from the
// test's own, as the rest of the world is. gateway is the test's own address there, in
// CIDR form, and names the network.
func (e *Env) ListenOutside(gateway, address string) net.Listener {
	e.T.Helper()
	type world struct {
		listener net.Listener
		err      error
	}
	made := make(chan world)
	go func() {
		// The thread is in another network for good: it ends with this goroutine.
		runtime.LockOSThread()
		listener, err := listenOutside(gateway, address)
		made <- world{listener, err}
	}()
	outside := <-made
	if outside.err == nil {
		outside.err = plugIn(gateway)
	}
	if outside.err != nil {
		e.T.Fatal(outside.err)
	}
	e.T.Cleanup(func() { _ = outside.listener.Close() })
	return outside.listener
}

// listenOutside moves the thread into a new network and connects it with the one that
// the thread comes from.
func listenOutside(gateway, address string) (net.Listener, error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	near, err := netlink.ParseAddr(gateway)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	far := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(host), Mask: near.Mask}}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	// The cable goes when the outside does, which ends with its last socket.
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "world"}, PeerName: outsideLink, PeerNamespace: netlink.NsFd(int(home.Fd()))}
	if err := netlink.LinkAdd(cable); err != nil {
		return nil, err
	}
	if err := netlink.AddrAdd(cable, far); err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(cable); err != nil {
		return nil, err
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: cable.Attrs().Index, Gw: near.IP}); err != nil {
		return nil, err
	}
	return net.Listen("tcp", address)
}

// plugIn brings up the test's own end of the cable.
func plugIn(address string) error {
	own, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	link, err := netlink.LinkByName(outsideLink)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, own); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}
