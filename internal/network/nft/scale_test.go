package nft

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/knftables"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/internal/network/netpol"
)

// manyTenants is a management machine with 100 managed clusters: two namespaces each, five pods in each, two policies.
func manyTenants(b *testing.B) *netpol.State {
	b.Helper()
	state := &netpol.State{Namespaces: map[string]labels.Set{}}
	for i := range 200 {
		name := fmt.Sprintf("ns-%d", i)
		state.Namespaces[name] = labels.Set{"kubernetes.io/metadata.name": name}
		spec := fmt.Sprintf(`{podSelector: {}, policyTypes: [Ingress, Egress],
ingress: [{from: [{podSelector: {}}]}, {from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ns-%d}}}], ports: [{port: 6443}]}],
egress: [{to: [{podSelector: {}}, {ipBlock: {cidr: 0.0.0.0/0, except: [100.64.0.0/10, 169.254.0.0/16]}}]}]}`, i^1)
		np := &networkingv1.NetworkPolicy{}
		np.Namespace, np.Name = name, "isolate"
		if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
			b.Fatal(err)
		}
		policy, err := netpol.Compile(np)
		if err != nil {
			b.Fatal(err)
		}
		state.Policies = append(state.Policies, policy)
		for j := range 5 {
			n := i*5 + j + 2
			state.Pods = append(state.Pods, netpol.Pod{
				Namespace: name, Name: fmt.Sprint(j), Labels: labels.Set{"app": "x", "index": fmt.Sprint(j)},
				IP: netip.AddrFrom4([4]byte{100, 64, byte(n >> 8), byte(n)}), Local: true,
			})
		}
	}
	return state
}

// BenchmarkPodChange is the agent's own work for one pod that comes or goes among a thousand.
func BenchmarkPodChange(b *testing.B) {
	state := manyTenants(b)
	node := &Node{PodCIDR: netip.MustParsePrefix("100.64.0.0/20"), VXLANPort: 8472, Masquerade: true}
	all := state.Pods
	have := Render(node, netpol.Decide(state))
	fake := knftables.NewFake(knftables.InetFamily, TableName)
	if _, err := NewWriterOn(fake).Write(context.Background(), have); err != nil {
		b.Fatal(err)
	}
	operations := 0
	for i := 0; b.Loop(); i++ {
		state.Pods = all[:len(all)-i%2]
		want := Render(node, netpol.Decide(state))
		tx := fake.NewTransaction()
		diff(tx, have, want)
		operations += tx.NumOperations()
		have = want
	}
	b.ReportMetric(float64(operations)/float64(b.N), "operations/op")
}
