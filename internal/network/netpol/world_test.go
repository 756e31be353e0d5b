package netpol

import (
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// The world of the tables: namespaces x, y, z with pods a, b, c each, labelled by name; the address of y/b is 10.1.2.2.
// (In YAML a bare y is true: policies quote it.) Every pod serves 80 and 81 of each protocol under the names serve-80-tcp and so on; c's "web" is 8080, others' 80.
const outside = "192.0.2.10"

func world() *State {
	state := &State{Namespaces: map[string]labels.Set{}}
	for i, namespace := range []string{"x", "y", "z"} {
		state.Namespaces[namespace] = labels.Set{"ns": namespace, "kubernetes.io/metadata.name": namespace}
		for j, name := range []string{"a", "b", "c"} {
			web := uint16(80)
			if name == "c" {
				web = 8080
			}
			state.Pods = append(state.Pods, Pod{
				Namespace: namespace, Name: name, Local: true,
				Labels: labels.Set{"pod": name},
				IP:     netip.AddrFrom4([4]byte{10, 1, byte(i + 1), byte(j + 1)}),
				Ports: []NamedPort{
					{"web", TCP, web}, {"serve-80-tcp", TCP, 80}, {"serve-81-tcp", TCP, 81},
					{"serve-80-udp", UDP, 80}, {"serve-81-udp", UDP, 81},
					{"serve-80-sctp", SCTP, 80}, {"serve-81-sctp", SCTP, 81},
				},
			})
		}
	}
	return state
}

// address resolves "x/a" or an address.
func address(t *testing.T, state *State, name string) netip.Addr {
	t.Helper()
	for i := range state.Pods {
		if state.Pods[i].Namespace+"/"+state.Pods[i].Name == name {
			return state.Pods[i].IP
		}
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		t.Fatalf("no pod or address %q", name)
	}
	return addr
}

// compileYAML compiles a policy written as its spec in YAML.
func compileYAML(t *testing.T, namespace, name, spec string) *Policy {
	t.Helper()
	np := &networkingv1.NetworkPolicy{}
	np.Namespace, np.Name = namespace, name
	if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
		t.Fatalf("policy %s/%s: %v\n%s", namespace, name, err, spec)
	}
	policy, err := Compile(np)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}
