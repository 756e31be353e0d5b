package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"berth.dev/berth/internal/network/overlay"
)

// A privileged pod can send what it likes. Each forgery must be stopped while the agent's table is there, and must
// arrive once it is gone: else the test would prove nothing.
func TestForgedPacketsAreDropped(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, "--cluster-cidr=10.244.0.0/16")
	c.namespace("x")
	evil := c.addPod(t, c.nodes[0], "x/evil", true, true)
	near := c.addPod(t, c.nodes[0], "x/near", true, true)
	far := c.addPod(t, c.nodes[1], "x/far", true, true)
	all(t, "honest packets pass", reach{evil, "tcp4", near.at(80), true}, reach{evil, "tcp4", far.at(80), true})
	// Without reverse path filters the table alone is tested.
	c.nodes[0].must(t, func() error {
		return errors.Join(sysctl("net/ipv4/conf/all/rp_filter", "0"), sysctl("net/ipv4/conf/"+evil.host+"/rp_filter", "0"))
	})
	forged := netip.MustParseAddr("10.244.2.200")
	evil.must(t, func() error { return addAddress("lo", forged.String()+"/32") })
	attempts := map[string]struct {
		victim *testPod
		send   func() error
	}{
		"another pod's source": {near, func() error {
			return sendFrom(forged, netip.AddrPortFrom(near.addr, 90), []byte("forged"))
		}},
		"an overlay packet to another node": {far, func() error {
			// Of the sender's node, so that the other node's reverse path filter has nothing against it.
			inner := frame(netip.MustParseAddr("10.244.1.200"), far.addr, c.nodes[1].addr, 90)
			return sendFrom(netip.Addr{}, netip.AddrPortFrom(c.nodes[1].addr, overlay.Port), inner)
		}},
	}
	for name, attempt := range attempts {
		inbox := attempt.victim.inbox(t, 90)
		evil.must(t, attempt.send)
		select {
		case from := <-inbox:
			t.Errorf("%s arrived, from %s", name, from)
		case <-time.After(300 * time.Millisecond):
		}
		deleteTable(t, c.nodes[0])
		if attempt.victim == far {
			deleteTable(t, c.nodes[1])
		}
		eventually(t, name+" arrives without the table", func() error {
			evil.must(t, attempt.send)
			select {
			case <-inbox:
				return nil
			case <-time.After(100 * time.Millisecond):
				return errors.New("nothing arrived")
			}
		})
		for _, n := range c.nodes {
			n.stopAgent()
			c.startAgent(t, n, []string{"--cluster-cidr=10.244.0.0/16"})
		}
		all(t, "the table is back", reach{evil, "tcp4", near.at(80), true})
	}
}

// inbox receives datagrams on a port of the pod and passes on where they claim to come from.
func (p *testPod) inbox(t *testing.T, port int) <-chan net.Addr {
	t.Helper()
	var packets net.PacketConn
	p.must(t, func() (err error) {
		packets, err = net.ListenPacket("udp4", fmt.Sprintf("0.0.0.0:%d", port))
		return err
	})
	t.Cleanup(func() { _ = packets.Close() })
	inbox := make(chan net.Addr, 100)
	go func() {
		buffer := make([]byte, 100)
		for {
			_, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			inbox <- from
		}
	}()
	return inbox
}

func sendFrom(source netip.Addr, to netip.AddrPort, data []byte) error {
	var local *net.UDPAddr
	if source.IsValid() {
		local = &net.UDPAddr{IP: source.AsSlice()}
	}
	connection, err := net.DialUDP("udp4", local, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write(data)
	return err
}

// frame is a VXLAN packet's content: header, Ethernet to the node's overlay device, IPv4, UDP.
func frame(from, to, node netip.Addr, port uint16) []byte {
	vxlan := []byte{0x08, 0, 0, 0, 0, 0, overlay.VNI, 0}
	ethernet := append(append([]byte{}, overlay.HardwareAddr(node)...), 2, 0, 0, 0, 0, 1, 0x08, 0)
	payload := []byte("forged")
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(20+8+len(payload)))
	copy(ip[12:], from.AsSlice())
	copy(ip[16:], to.AsSlice())
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	udp := make([]byte, 8) // a checksum of zero means none
	binary.BigEndian.PutUint16(udp, 4000)
	binary.BigEndian.PutUint16(udp[2:], port)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(payload)))
	out := vxlan
	for _, part := range [][]byte{ethernet, ip, udp, payload} {
		out = append(out, part...)
	}
	return out
}
