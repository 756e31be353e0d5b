package host

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"

	agentnft "berth.dev/berth/internal/network/nft"
)

// The management cluster's addresses, which never leave this host.
const (
	// LinkDevice is the host's end of the link to the machine.
	LinkDevice = "berth0"
	// HostAddress and MachineAddress are the two ends of the link.
	HostAddress    = "100.66.0.1"
	MachineAddress = "100.66.0.2"
	// PodCIDR and ServiceCIDR are the management cluster's networks.
	PodCIDR     = "100.64.0.0/17"
	ServiceCIDR = "100.65.0.0/16"

	linkPrefix    = 30
	linkCIDR      = "100.66.0.0/30"
	machineDevice = "eth0"
)

// connect makes the link to the machine of an owner whose first process is pid. The other
// end appears in its network namespace, down and unnamed, for attach.
func connect(owner string, pid int) error {
	if err := disconnect(owner); err != nil {
		return err
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = LinkDevice
	attributes.MTU = uplinkMTU()
	veth := &netlink.Veth{LinkAttrs: attributes, PeerName: machineDevice, PeerNamespace: netlink.NsPid(pid)}
	if err := netlink.LinkAdd(veth); err != nil {
		return cmp.Or(checkLink(owner), fmt.Errorf("create link %s: %w", LinkDevice, err))
	}
	if err := netlink.LinkSetAlias(veth, owner); err != nil {
		return fmt.Errorf("say whose link %s is: %w", LinkDevice, err)
	}
	return address(LinkDevice, HostAddress)
}

// disconnect removes the link if there is one and nothing says that it is another owner's: that
// of a Berth which is up in another state directory.
func disconnect(owner string) error {
	link, err := lookUpLink()
	if link == nil || err != nil {
		return err
	}
	if of := link.Attrs().Alias; of != "" && of != owner {
		return nil
	}
	err = netlink.LinkDel(link)
	// The other end's namespace may take the link with it at the same moment.
	if _, again := netlink.LinkByName(LinkDevice); err != nil && !errors.As(again, &netlink.LinkNotFoundError{}) {
		return fmt.Errorf("remove link %s: %w", LinkDevice, err)
	}
	return nil
}

// lookUpLink returns the link; nil if there is none.
func lookUpLink() (netlink.Link, error) {
	link, err := netlink.LinkByName(LinkDevice)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up link %s: %w", LinkDevice, err)
	}
	return link, nil
}

// checkLink refuses a second Berth, and says whose link is there. One that outlives its machine, as
// something else holds the network, has a name that no state directory has once that was moved.
func checkLink(owner string) error {
	link, err := lookUpLink()
	if link == nil || err != nil {
		return err
	}
	return fmt.Errorf("link %[1]s is that of %[2]s and not of this state directory (%[3]s), and a host has one such link: "+
		"\"berth down --state-dir DIR\" ends the Berth that it is of, by its own directory; "+
		"if that was moved or removed while the link was there, and that Berth is not up, \"ip link delete %[1]s\" removes what is left",
		LinkDevice, cmp.Or(link.Attrs().Alias, "another Berth"), owner)
}

// attach brings up the machine's end, seen from inside its network namespace.
func attach() error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("look up lo: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	if err := address(machineDevice, MachineAddress); err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(HostAddress)}); err != nil {
		return fmt.Errorf("add default route by %s: %w", HostAddress, err)
	}
	return nil
}

func address(device, ip string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("look up %s: %w", device, err)
	}
	network := &net.IPNet{IP: net.ParseIP(ip).To4(), Mask: net.CIDRMask(linkPrefix, 32)}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: network}); err != nil {
		return fmt.Errorf("give %s address %s: %w", device, ip, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", device, err)
	}
	return nil
}

// uplinkMTU is the MTU of the device with the default route, so that the
// machine never sends what the host would have to break up.
func uplinkMTU() int {
	const ethernet = 1500
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return ethernet
	}
	for _, route := range routes {
		if route.Dst != nil && !route.Dst.IP.IsUnspecified() {
			continue
		}
		if link, err := netlink.LinkByIndex(route.LinkIndex); err == nil && link.Attrs().MTU > 0 {
			return min(link.Attrs().MTU, ethernet)
		}
	}
	return ethernet
}

// openFirewall lets the machine reach the outside world under the host's own
// address, and keeps it and the tenants in it away from the host's own services.
func openFirewall(table string) error {
	return nft(firewallRules(table))
}

// firewallRules replaces the table as a whole, in one transaction.
func firewallRules(table string) string {
	return fmt.Sprintf(`add table ip %[1]s
delete table ip %[1]s
table ip %[1]s {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr %[2]s oifname != "%[3]s" masquerade
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "%[3]s" ip saddr != %[2]s drop
		oifname "%[3]s" ct state new drop
	}
	chain input {
		type filter hook input priority filter; policy accept;
		iifname "%[3]s" ct state established,related accept
		iifname "%[3]s" meta l4proto { tcp, udp } th dport 53 accept comment "the host may be its own name server"
		iifname "%[3]s" meta l4proto icmp accept
		iifname "%[3]s" drop
	}
}
`, table, linkCIDR, LinkDevice)
}

// guardPods lets nothing through to or from a pod, seen from inside the machine's
// network namespace. The machine starts pods with the CNI configuration of its
// last life, before the network agent knows what policies hold for them; the
// agent takes this table for its own and replaces it when it does.
func guardPods() error {
	return nft(fmt.Sprintf(`table inet %s {
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "veth*" drop
		oifname "veth*" drop
	}
	chain input {
		type filter hook input priority filter; policy accept;
		ct state established,related accept
		iifname "veth*" drop
	}
}
`, agentTable))
}

// agentTable is the network agent's table; it looks for the chain forward in it.
const agentTable = agentnft.TableName

// closeFirewall removes the table if there is one.
func closeFirewall(table string) error {
	return nft(fmt.Sprintf("add table ip %[1]s\ndelete table ip %[1]s\n", table))
}

func nft(script string) error {
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(script)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return fmt.Errorf("nft -f -: %w: %s", err, strings.TrimSpace(output.String()))
	}
	return nil
}
