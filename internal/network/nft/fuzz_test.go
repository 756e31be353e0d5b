package nft

import (
	"context"
	"encoding/json"
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/knftables"

	"berth.dev/berth/internal/network/netpol"
)

// Whatever an API server lets through, and what it would not, renders to a table whose references hold.
func FuzzPolicyToTable(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"podSelector":{},"policyTypes":["Ingress","Egress"]}`,
		`{"ingress":[{"from":[{"podSelector":{"matchLabels":{"a":"b"}}},{"ipBlock":{"cidr":"0.0.0.0/0","except":["10.0.0.0/8"]}}],"ports":[{"port":"web"},{"port":80,"endPort":90,"protocol":"UDP"}]}]}`,
		`{"egress":[{"to":[{"namespaceSelector":{}}],"ports":[{"port":"web"},{"protocol":"SCTP"}]},{}]}`,
		`{"egress":[{"ports":[{"port":-1},{"port":65536},{"endPort":3},{"protocol":"x"}]}]}`,
		`{"ingress":[{"from":[{},{"ipBlock":{"cidr":"::/0"}},{"ipBlock":{"cidr":"1.2.3.4/0","except":["1.2.3.4/33","::/0","128.0.0.0/1"]}}]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		np := &networkingv1.NetworkPolicy{}
		np.Namespace, np.Name = "x", "p"
		if json.Unmarshal(data, &np.Spec) != nil {
			t.Skip("not a policy")
		}
		policy, err := netpol.Compile(np)
		if policy == nil {
			t.Fatalf("no policy: %v", err)
		}
		state := &netpol.State{
			Namespaces: map[string]labels.Set{"x": {"ns": "x"}},
			Policies:   []*netpol.Policy{policy},
			Pods: []netpol.Pod{
				{Namespace: "x", Name: "a", Labels: labels.Set{"a": "b"}, IP: netip.MustParseAddr("10.244.1.2"), Local: true,
					Ports: []netpol.NamedPort{{Name: "web", Protocol: netpol.TCP, Port: 80}}},
				{Namespace: "x", Name: "b", IP: netip.MustParseAddr("10.244.2.2")},
			},
		}
		table := Render(&Node{PodCIDR: netip.MustParsePrefix("10.244.1.0/24"), VXLANPort: 8472}, netpol.Decide(state))
		fake := knftables.NewFake(knftables.InetFamily, TableName)
		if _, err := NewWriterOn(fake).Write(context.Background(), table); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
	})
}
