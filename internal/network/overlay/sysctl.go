package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// setting is one kernel parameter of the node's network namespace.
type setting struct{ name, value, why string }

func settings() []setting {
	return []setting{
		{"net/ipv4/ip_forward", "1", "pods are routed"},
		{"net/ipv4/conf/default/rp_filter", "1", "new pod links drop forged sources by themselves; nftables drops them anyway"},
		{"net/ipv4/conf/" + Device + "/rp_filter", "1", "strict holds on the overlay: every peer's range is routed to it"},
		{"net/ipv4/conf/all/accept_source_route", "0", "a pod must not steer packets around the forward hook's view"},
		{"net/ipv4/conf/all/accept_redirects", "0", "routes come from the list of nodes alone"},
		{"net/ipv4/conf/all/send_redirects", "0", "pods have one way out"},
		{"net/ipv6/conf/" + Device + "/disable_ipv6", "1", "the overlay is IPv4"},
	}
}

// SetSysctls sets what routing pods needs below root, which is /proc/sys. A parameter that the kernel does not have is
// passed over.
func SetSysctls(root string) error {
	var errs []error
	for _, s := range settings() {
		path := filepath.Join(root, s.name)
		have, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || err == nil && strings.TrimSpace(string(have)) == s.value {
			continue
		}
		if err := os.WriteFile(path, []byte(s.value), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("set %s=%s: %w", s.name, s.value, err))
		}
	}
	return errors.Join(errs...)
}
