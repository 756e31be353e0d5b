package controlplane

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
)

// Every namespace of a tenant denies by default, and no rule names a namespace
// that is neither its own nor Berth's.
func TestTenantBoundary(t *testing.T) {
	in := testInput()
	own := map[string]bool{"cp-abcdefghijkl": true, "mc-abcdefghijkl": true, "berth-system": true}
	denied := map[string]bool{}
	for _, object := range policies(in) {
		policy, ok := object.(*networkingv1.NetworkPolicy)
		if !ok {
			t.Fatalf("%T", object)
		}
		if len(policy.Spec.PolicyTypes) != 2 {
			t.Errorf("%s/%s leaves a direction open", policy.Namespace, policy.Name)
		}
		if policy.Name == "default-deny" && len(policy.Spec.PodSelector.MatchLabels) == 0 && len(policy.Spec.Ingress)+len(policy.Spec.Egress) == 0 {
			denied[policy.Namespace] = true
		}
		for _, peer := range peers(policy) {
			if peer.NamespaceSelector == nil {
				continue
			}
			if name := peer.NamespaceSelector.MatchLabels[namespaceName]; !own[name] {
				t.Errorf("%s/%s opens a way to or from %q", policy.Namespace, policy.Name, peer.NamespaceSelector)
			}
		}
	}
	if !denied["cp-abcdefghijkl"] || !denied["mc-abcdefghijkl"] {
		t.Errorf("denied by default: %v", denied)
	}
}

func peers(policy *networkingv1.NetworkPolicy) []networkingv1.NetworkPolicyPeer {
	var all []networkingv1.NetworkPolicyPeer
	for _, rule := range policy.Spec.Ingress {
		all = append(all, rule.From...)
	}
	for _, rule := range policy.Spec.Egress {
		all = append(all, rule.To...)
	}
	return all
}

// Without a way out, machines reach themselves, their control plane and Berth's registry (I3).
func TestMachinesWithoutEgress(t *testing.T) {
	in := testInput()
	in.NoEgress = true
	if got, all := len(fromMachines(in, podsOf(ComponentKube))), len(fromMachines(testInput(), podsOf(ComponentKube))); got != 3 || all != 4 {
		t.Errorf("%d ways, with a way out %d", got, all)
	}
	for _, rule := range fromMachines(in, podsOf(ComponentKube)) {
		for _, peer := range rule.To {
			if peer.IPBlock != nil {
				t.Errorf("a way to %+v", peer.IPBlock)
			}
		}
	}
}

// Machines reach the world but nothing of the management side.
func TestMachinesStayOutOfTheManagementSide(t *testing.T) {
	for _, object := range policies(testInput()) {
		policy, ok := object.(*networkingv1.NetworkPolicy)
		if !ok || policy.Name != "machines" {
			continue
		}
		for _, peer := range peers(policy) {
			if peer.IPBlock == nil {
				continue
			}
			if len(peer.IPBlock.Except) != 2 || peer.IPBlock.Except[0] != "100.64.0.0/10" {
				t.Errorf("except %v", peer.IPBlock.Except)
			}
			return
		}
	}
	t.Error("machines have no way out")
}
