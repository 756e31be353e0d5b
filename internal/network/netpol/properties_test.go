package netpol

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A pod that may not be known yet, and one that shares its address, must get nothing: they are not among the known.
func TestUnknownPodsAreNotListed(t *testing.T) {
	state := world()
	state.Pods[0].Local = false
	state.Pods[1].IP = state.Pods[2].IP
	rules := Decide(state)
	for _, gone := range []netip.Addr{state.Pods[0].IP, state.Pods[1].IP} {
		if slices.Contains(rules.Known, gone) {
			t.Errorf("%s is known, although it is remote or ambiguous", gone)
		}
	}
	if len(rules.Known) != len(state.Pods)-3 {
		t.Errorf("known: %v", rules.Known)
	}
}

// Remote pods are peers, but their own policies are their own node's business.
func TestRemotePodsHaveNoProfile(t *testing.T) {
	state := world()
	state.Pods[0].Local = false
	state.Policies = []*Policy{compileYAML(t, "x", "deny", "{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {pod: a}}}]}]}")}
	rules := Decide(state)
	if _, isolated := rules.Isolated[Ingress][state.Pods[0].IP]; isolated {
		t.Error("x/a is remote and has a profile")
	}
	expect(t, state, rules, "x/a > x/b", true)
	expect(t, state, rules, "x/c > x/b", false)
}

// Replicas share one profile, and names do not depend on the pods that happen to exist: both keep changes small.
func TestNamesAreStable(t *testing.T) {
	policies := []*Policy{compileYAML(t, "x", "p", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}}]}]}")}
	before := world()
	before.Policies = policies
	after := world()
	after.Policies = policies
	after.Pods = slices.DeleteFunc(after.Pods, func(p Pod) bool { return p.Namespace == "y" && p.Name == "b" })
	was, is := Decide(before), Decide(after)
	if len(was.Profiles) != 1 {
		t.Errorf("%d profiles for three equal pods", len(was.Profiles))
	}
	if !maps.EqualFunc(was.Profiles, is.Profiles, func(a, b *Profile) bool { return reflect.DeepEqual(a, b) }) {
		t.Errorf("a peer's end changed the profiles:\n%v\n%v", was.Profiles, is.Profiles)
	}
	if reflect.DeepEqual(was.Sets, is.Sets) {
		t.Error("a peer's end did not change any set")
	}
}

// What the API server should have refused must not open anything, and must be reported.
func TestCompileFailsClosed(t *testing.T) {
	bad := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "Nonsense"}}}
	port := func(p networkingv1.NetworkPolicyPort) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{Ports: []networkingv1.NetworkPolicyPort{p}}
	}
	from := func(p networkingv1.NetworkPolicyPeer) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{p}}
	}
	end, unknown := int32(70), corev1.Protocol("QUIC")
	eighty, named, zero := intstr.FromInt32(80), intstr.FromString("web"), intstr.FromInt32(0)
	for name, rule := range map[string]networkingv1.NetworkPolicyIngressRule{
		"selector":            from(networkingv1.NetworkPolicyPeer{PodSelector: &bad}),
		"namespace selector":  from(networkingv1.NetworkPolicyPeer{NamespaceSelector: &bad}),
		"empty peer":          from(networkingv1.NetworkPolicyPeer{}),
		"block and selector":  from(networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0"}, PodSelector: &metav1.LabelSelector{}}),
		"block":               from(networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "everything"}}),
		"exception":           from(networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"x"}}}),
		"protocol":            port(networkingv1.NetworkPolicyPort{Protocol: &unknown}),
		"range backwards":     port(networkingv1.NetworkPolicyPort{Port: &eighty, EndPort: &end}),
		"endPort of a name":   port(networkingv1.NetworkPolicyPort{Port: &named, EndPort: &end}),
		"endPort without one": port(networkingv1.NetworkPolicyPort{EndPort: &end}),
		"port zero":           port(networkingv1.NetworkPolicyPort{Port: &zero}),
	} {
		np := &networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{rule}}}
		np.Namespace = "x"
		policy, err := Compile(np)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		state := world()
		state.Policies = []*Policy{policy}
		expect(t, state, Decide(state), "y/a > x/a", false)
	}
	np := &networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{PodSelector: bad}}
	np.Namespace = "x"
	policy, err := Compile(np)
	state := world()
	state.Policies = []*Policy{policy}
	if expect(t, state, Decide(state), "y/a > x/a", false); err == nil {
		t.Error("policy's selector: no error")
	}
}

// Random policies mean the same to Decide as to a plain reading of the API's definitions.
func TestDecideAgreesWithDefinition(t *testing.T) {
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 1))
		state := world()
		objects := RandomPolicies(random, 1+random.IntN(5))
		for _, np := range objects {
			policy, err := Compile(np)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			state.Policies = append(state.Policies, policy)
		}
		rules := Decide(state)
		random.Shuffle(len(state.Pods), func(i, j int) { state.Pods[i], state.Pods[j] = state.Pods[j], state.Pods[i] })
		random.Shuffle(len(state.Policies), func(i, j int) {
			state.Policies[i], state.Policies[j] = state.Policies[j], state.Policies[i]
		})
		if !reflect.DeepEqual(rules, Decide(state)) {
			t.Fatalf("seed %d: another order gives other rules", seed)
		}
		for range 200 {
			p := randomPacket(random, state)
			if got, want := rules.passes(p), defined(state, objects, p); got != want {
				t.Fatalf("seed %d: %v passes %t, by definition %t\n%s", seed, p, got, want, describe(objects))
			}
		}
	}
}

func describe(objects []*networkingv1.NetworkPolicy) string {
	var out strings.Builder
	for _, np := range objects {
		fmt.Fprintf(&out, "%s: %+v\n", np.Namespace, np.Spec)
	}
	return out.String()
}

func randomPacket(random *rand.Rand, state *State) packet {
	addr := func() netip.Addr {
		if random.IntN(6) == 0 {
			return netip.MustParseAddr(outside)
		}
		return state.Pods[random.IntN(len(state.Pods))].IP
	}
	return packet{
		from: addr(), to: addr(),
		protocol: pick(random, TCP, TCP, UDP, SCTP, "icmp"),
		port:     pick(random, uint16(80), 81, 85, 8080, 65535),
	}
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }
