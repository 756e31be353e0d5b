package machine_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"berth.dev/berth/internal/machine"
)

func TestNamesLookLikeAKS(t *testing.T) {
	const clusterID = "k3v9x0a1b2c3"
	for _, c := range []struct {
		why     string
		ordinal int32
		suffix  string
	}{
		{"the first machine has ordinal zero", 0, "-vmss000000"},
		{"the tenth is a letter", 10, "-vmss00000a"},
		{"base 36 carries", 36, "-vmss000010"},
		{"the last ordinal that fits an int32 fits the name", 1<<31 - 1, "-vmsszik0zj"},
	} {
		name := machine.NodeName("nodepool1", clusterID, c.ordinal)
		if !strings.HasPrefix(name, "aks-nodepool1-") || !strings.HasSuffix(name, c.suffix) {
			t.Errorf("%s: %s", c.why, name)
		}
	}
	if first := machine.NodeName("nodepool1", clusterID, 0); len(first) != len("aks-nodepool1-12345678-vmss000000") {
		t.Errorf("%s: the hash is not eight digits", first)
	}
}

func TestNamesRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[string]int32{}
	for range 2000 {
		ordinal := random.Int32()
		node := machine.NodeName("abcdefghijkl", "k3v9x0a1b2c3", ordinal)
		object := machine.ObjectName("group.cluster.abcdefghijkl", ordinal)
		for _, name := range []string{node, object} {
			if got, err := machine.Ordinal(name); err != nil || got != ordinal {
				t.Fatalf("Ordinal(%s) = %d, %v; want %d", name, got, err, ordinal)
			}
		}
		if problems := validation.IsDNS1123Label(node); problems != nil {
			t.Fatalf("node name %s: %v", node, problems)
		}
		if other, taken := seen[node]; taken && other != ordinal {
			t.Fatalf("ordinals %d and %d share the name %s", other, ordinal, node)
		}
		seen[node] = ordinal
	}
}

func TestOrdinalRefuses(t *testing.T) {
	for _, name := range []string{"", "000000", "aks-p-1-vmss00000", "aks-p-1-vmss00000A", "aks-p-1-000000", "a.zzzzzz", "a.-00001"} {
		if got, err := machine.Ordinal(name); err == nil {
			t.Errorf("Ordinal(%q) = %d, want an error", name, got)
		}
	}
}

func TestProviderID(t *testing.T) {
	node := machine.NodeName("np", "k3v9x0a1b2c3", 37)
	got, err := machine.ProviderID("00000000-0000-0000-0000-000000000001", "MC_rg_c_local", node)
	want := "azure:///subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/mc_rg_c_local/providers/Microsoft.Compute/virtualMachineScaleSets/" +
		strings.TrimSuffix(node, "000011") + "/virtualMachines/37"
	if err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}
