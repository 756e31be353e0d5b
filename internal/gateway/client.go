package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"

	proxyproto "github.com/pires/go-proxyproto"
)

// clientAddress finds out who the client is. A PROXY protocol header (v1 or v2) is read only from a trusted proxy, where
// it may also be missing; from anybody else its bytes are left in place and fail as a ClientHello.
func clientAddress(conn net.Conn, reader *bufio.Reader, trusted []netip.Prefix) (netip.Addr, error) {
	peer, err := addressOf(conn.RemoteAddr())
	if err != nil {
		return netip.Addr{}, err
	}
	if !contains(trusted, peer) {
		return peer, nil
	}
	header, err := proxyproto.Read(reader)
	if errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		return peer, nil
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("read PROXY header: %w", err)
	}
	if header.Command.IsLocal() || header.SourceAddr == nil {
		return peer, nil
	}
	return addressOf(header.SourceAddr)
}

// addressOf is the address in its shortest form: an IPv4 address that came mapped into IPv6 must match IPv4 ranges.
func addressOf(addr net.Addr) (netip.Addr, error) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("client address %v is not TCP", addr)
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return netip.Addr{}, fmt.Errorf("client address %v is not an IP", addr)
	}
	return ip.Unmap(), nil
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, prefix := range prefixes {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}
