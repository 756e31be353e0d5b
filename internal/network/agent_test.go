package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// reach is one expectation: a connection from a pod passes, or does not.
type reach struct {
	from    *testPod
	network string
	to      string
	want    bool
}

func (r reach) check() error {
	seen, err := r.from.ask(r.network, r.to)
	switch {
	case r.want && err != nil:
		return fmt.Errorf("%s to %s %s: %w", r.from.key, r.network, r.to, err)
	case !r.want && err == nil:
		return fmt.Errorf("%s reaches %s %s, which saw %s", r.from.key, r.network, r.to, seen)
	}
	return nil
}

// all waits until every expectation holds in one go.
func all(t *testing.T, what string, expectations ...reach) {
	t.Helper()
	eventually(t, what, func() error {
		for _, r := range expectations {
			if err := r.check(); err != nil {
				return err
			}
		}
		return nil
	})
}

// asker is a pod or a node.
type asker interface {
	ask(network, addr string) (netip.Addr, error)
}

// sees has from ask a server, and looks from which address that sees it come.
func sees(t *testing.T, from asker, network, server string, want netip.Addr) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s sees %s", server, want), func() error {
		seen, err := from.ask(network, server)
		if err == nil && seen != want {
			err = fmt.Errorf("it sees %s", seen)
		}
		return err
	})
}

func (p *testPod) at(port int) string { return netip.AddrPortFrom(p.addr, uint16(port)).String() }

func TestPodsReachEachOtherAcrossNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, "--cluster-cidr=10.244.0.0/16")
	c.namespace("x")
	a := c.addPod(t, c.nodes[0], "x/a", true, true)
	b := c.addPod(t, c.nodes[0], "x/b", true, true)
	z := c.addPod(t, c.nodes[1], "x/z", true, true)
	all(t, "pods reach each other on a node and across nodes",
		reach{a, "tcp4", b.at(80), true}, reach{a, "tcp4", z.at(80), true}, reach{z, "udp4", a.at(81), true})

	sees(t, a, "tcp4", z.at(80), a.addr)
	node := c.nodes[0]
	// Its overlay address, so that the answer takes the overlay too.
	sees(t, node, "tcp4", z.at(80), node.podCIDR.Addr())
	c.outside.serve(t, 80)
	sees(t, a, "tcp4", "10.9.0.254:80", node.addr)
	c.nodes[1].serve(t, 80)
	sees(t, a, "udp4", "10.9.0.2:80", node.addr)

	third := c.addNode(t, 3, []string{"--cluster-cidr=10.244.0.0/16"})
	late := c.addPod(t, third, "x/late", true, true)
	all(t, "a node that joins is linked to all", reach{a, "tcp4", late.at(80), true}, reach{late, "tcp4", z.at(80), true})
	c.api.remove("nodes", "", third.name)
	all(t, "a node that leaves is cut off", reach{a, "tcp4", late.at(80), false}, reach{a, "tcp4", z.at(80), true})
}

func TestUnmasqueradedRangesSeePodAddresses(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, "--policy=false", "--unmasqueraded=10.9.0.254/32,10.244.0.0/24")
	a := c.addPod(t, c.nodes[0], "x/a", false, false)
	c.outside.serve(t, 80)
	c.outside.must(t, func() error { return route(c.nodes[0].podCIDR, "up1", c.nodes[0].addr) })
	sees(t, a, "tcp4", "10.9.0.254:80", a.addr)
}

func TestPoliciesBlockAndAllow(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, "--cluster-cidr=10.244.0.0/16")
	for _, name := range []string{"x", "y"} {
		c.namespace(name)
	}
	a := c.addPod(t, c.nodes[0], "x/a", true, true)
	b := c.addPod(t, c.nodes[0], "x/b", true, true)
	far := c.addPod(t, c.nodes[1], "y/far", true, true)
	c.outside.serve(t, 80)
	all(t, "without policies", reach{b, "tcp4", a.at(80), true}, reach{far, "tcp4", a.at(80), true})

	c.policy(t, "x", "deny", "{podSelector: {}, policyTypes: [Ingress]}")
	all(t, "default deny ingress", reach{b, "tcp4", a.at(80), false}, reach{far, "udp4", a.at(80), false},
		reach{a, "tcp4", far.at(80), true}, reach{a, "tcp4", a.at(80), true})
	eventually(t, "the node reaches its own pod", func() error { _, err := c.nodes[0].ask("tcp4", a.at(80)); return err })

	c.policy(t, "x", "allow", "{podSelector: {matchLabels: {pod: a}}, ingress: ["+
		"{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: 'y'}}}], ports: [{port: web}]},"+
		"{from: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: 81, protocol: UDP}]}]}")
	all(t, "selected peers and ports", reach{far, "tcp4", a.at(80), true}, reach{far, "tcp4", a.at(81), false},
		reach{b, "udp4", a.at(81), true}, reach{b, "tcp4", a.at(80), false}, reach{far, "tcp4", b.at(80), false})

	c.policy(t, "x", "deny", "{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress, Egress], egress: ["+
		"{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.244.0.0/16, 10.9.0.1/32]}}]}]}")
	c.nodes[0].serve(t, 80)
	all(t, "egress to the outside, not to pods nor to the node", reach{a, "tcp4", "10.9.0.254:80", true},
		reach{a, "tcp4", far.at(80), false}, reach{a, "tcp4", "10.9.0.1:80", false},
		reach{b, "tcp4", "10.9.0.1:80", true}, reach{far, "tcp4", b.at(80), true})

	c.api.remove("networkpolicies", "x", "deny")
	c.api.remove("networkpolicies", "x", "allow")
	all(t, "after the last policy", reach{b, "tcp4", a.at(80), true}, reach{a, "tcp4", far.at(80), true})
}

// A pod must not have its network before its policies: neither when only the CNI knows it nor when nobody does.
func TestUnknownPodsAreShut(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.namespace("x")
	c.policy(t, "x", "deny", "{podSelector: {matchLabels: {pod: shut}}, policyTypes: [Ingress]}")
	a := c.addPod(t, c.nodes[0], "x/a", true, false)
	b := c.addPod(t, c.nodes[0], "x/b", false, true)
	all(t, "known by the CNI's result or by status", reach{a, "tcp4", b.at(80), true}, reach{b, "tcp4", a.at(80), true})

	unknown := c.addPod(t, c.nodes[0], "x/unknown", false, false)
	shut := c.addPod(t, c.nodes[0], "x/shut", true, false)
	all(t, "unknown to both: shut; known by its result: its policies", reach{unknown, "tcp4", a.at(80), false},
		reach{a, "tcp4", unknown.at(80), false}, reach{a, "tcp4", shut.at(80), false}, reach{shut, "tcp4", a.at(80), true})
	c.nodes[0].writeResult(t, unknown)
	all(t, "known at last", reach{unknown, "tcp4", a.at(80), true}, reach{a, "tcp4", unknown.at(80), true})

	c.nodes[0].stopAgent()
	late := c.addPod(t, c.nodes[0], "x/late", true, true)
	all(t, "without an agent the known pods stay, new ones are shut", reach{a, "tcp4", b.at(80), true},
		reach{late, "tcp4", a.at(80), false}, reach{a, "tcp4", shut.at(80), false})
	c.startAgent(t, c.nodes[0], nil)
	all(t, "a new agent takes over", reach{late, "tcp4", a.at(80), true}, reach{a, "tcp4", shut.at(80), false})
}

// Finished pods give their address away: policies must not follow the address to its next owner.
func TestFinishedPodReleasesItsAddress(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.namespace("x")
	c.policy(t, "x", "deny", "{podSelector: {matchLabels: {pod: old}}, policyTypes: [Ingress]}")
	a := c.addPod(t, c.nodes[0], "x/a", false, true)
	next := c.addPod(t, c.nodes[0], "x/old", false, true)
	all(t, "its policies hold", reach{a, "tcp4", next.at(80), false})
	finished := &corev1.Pod{}
	finished.Namespace, finished.Name, finished.Labels = "x", "old", map[string]string{"pod": "old"}
	finished.Spec.NodeName, finished.Status.PodIP = "node-1", next.addr.String()
	finished.Status.Phase = corev1.PodSucceeded
	c.api.put("pods", "Pod", "v1", finished)
	next.key = "x/next"
	c.announce(c.nodes[0], next, true)
	all(t, "the next owner is free of them", reach{a, "tcp4", next.at(80), true})
}

// Somebody who empties the firewall must not free the pods for long; here the agent is started again instead of waiting.
func TestTableIsRestored(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.namespace("x")
	c.policy(t, "x", "deny", "{podSelector: {}, policyTypes: [Ingress]}")
	a := c.addPod(t, c.nodes[0], "x/a", true, true)
	b := c.addPod(t, c.nodes[0], "x/b", true, true)
	all(t, "denied", reach{a, "tcp4", b.at(80), false})
	deleteTable(t, c.nodes[0])
	all(t, "free without the table", reach{a, "tcp4", b.at(80), true})
	c.nodes[0].stopAgent()
	c.startAgent(t, c.nodes[0], nil)
	all(t, "denied again", reach{a, "tcp4", b.at(80), false})
}

func deleteTable(t *testing.T, n *testNode) {
	t.Helper()
	n.must(t, func() error {
		output, err := exec.Command("nft", "delete", "table", "inet", "berth").CombinedOutput()
		if err != nil {
			return errors.Join(err, errors.New(string(output)))
		}
		return nil
	})
}
