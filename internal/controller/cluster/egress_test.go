package cluster

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// The list that customers are told, and what machines without a way out may reach, are the
// same ports (I3).
func TestEgressIsWhatMachinesMayReach(t *testing.T) {
	open := map[int32]bool{}
	for _, object := range controlplane.Foundation(controlplane.Input{ID: "abcdefghijkl", NoEgress: true}) {
		found, ok := object.(*networkingv1.NetworkPolicy)
		if !ok || found.Name != "machines" {
			continue
		}
		for _, rule := range found.Spec.Egress {
			for _, port := range rule.Ports {
				open[port.Port.IntVal] = true
			}
		}
	}
	told := map[int32]bool{}
	for _, dependency := range policy.EgressOf(&v1beta1.ManagedCluster{}) {
		told[dependency.Port] = true
		if !open[dependency.Port] {
			t.Errorf("nodes are said to need %s:%d, which is closed to them", dependency.Domain, dependency.Port)
		}
	}
	if len(open) == 0 || len(open) != len(told) {
		t.Errorf("open are %v, told %v", open, told)
	}
}
