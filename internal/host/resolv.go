package host

import (
	"net"
	"strings"
)

// resolvConf is the machine's /etc/resolv.conf: the host's name servers, as far
// as the machine can reach them. A resolver on the host's loopback is skipped in
// favour of the ones that systemd-resolved forwards to.
func resolvConf(readFile func(string) ([]byte, error)) string {
	var fallback string
	for _, path := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		raw, err := readFile(path)
		if err != nil {
			continue
		}
		kept, servers := reachable(string(raw))
		if servers > 0 {
			return kept
		}
		fallback = kept
	}
	return fallback
}

// reachable drops the name servers on loopback addresses and counts the rest.
func reachable(content string) (kept string, servers int) {
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(content), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 1 && fields[0] == "nameserver" {
			if ip := net.ParseIP(fields[1]); ip == nil || ip.IsLoopback() {
				continue
			}
			servers++
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n") + "\n", servers
}
