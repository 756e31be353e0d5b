package serve

import (
	"fmt"
	"net/netip"

	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/webhook"
)

// ownRanges are the networks of Berth itself, where no customer's endpoint is.
func (p parts) ownRanges() ([]netip.Prefix, error) {
	texts := append(controlplane.DefaultPrivateRanges(), p.options.PrivateRanges...)
	ranges, err := webhook.ParseRanges(texts)
	if err != nil {
		return nil, fmt.Errorf("--private-range: %w", err)
	}
	return ranges, nil
}
