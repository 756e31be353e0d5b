package memory_test

import (
	"testing"

	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/machine/conformance"
	"berth.dev/berth/internal/machine/memory"
)

func TestConformance(t *testing.T) {
	provider := memory.New()
	conformance.Run(t, conformance.Fixture{
		Provider: provider,
		Boot:     func(_ *testing.T, ref machine.Ref) string { return provider.Boot(ref) },
		Reboot: func(t *testing.T, ref machine.Ref) {
			if seen, err := provider.Observe(t.Context(), ref); err != nil || seen.State != machine.Starting {
				t.Fatalf("nobody asked for a reboot: %+v, %v", seen, err)
			}
			provider.Boot(ref)
		},
		Fail: func(_ *testing.T, ref machine.Ref) { provider.Fail(ref) },
		Halt: func(_ *testing.T, ref machine.Ref) { provider.Halt(ref) },
		Files: func(_ *testing.T, ref machine.Ref) map[string][]byte {
			return provider.Machines()[ref].Files
		},
	})
}
