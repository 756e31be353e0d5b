package network

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"berth.dev/berth/internal/network/cni"
	"berth.dev/berth/internal/network/netpol"
	"berth.dev/berth/internal/network/nft"
	"berth.dev/berth/internal/network/overlay"
)

// sync makes one pass: overlay, then packet filter, then CNI configuration, so that no pod starts before the others are
// there. With full set, it also looks at what it believes to have written.
func (a *agent) sync(ctx context.Context, full bool) error {
	self, known := a.nodes.Get(a.options.NodeName)
	if !a.nodes.Synced() || !known || !ready(self) {
		if !a.written.attempted {
			a.log.Info("waiting for the node's address and pod range", "node", a.options.NodeName)
			a.written.attempted = true
		}
		return nil
	}
	nodes := a.readyNodes()
	if err := a.syncOverlay(self, nodes, full); err != nil {
		return err
	}
	if err := a.syncFilter(ctx, self, nodes, full); err != nil {
		return err
	}
	if !a.written.guarded {
		return nil
	}
	config, err := cni.Config(self.PodCIDR, a.written.mtu)
	if err != nil {
		return err
	}
	if err := cni.WriteConfig(a.options.CNIDir, config); err != nil {
		return err
	}
	a.lastSuccess.Store(time.Now().Unix())
	return nil
}

// readyNodes lists the cluster's nodes in order of address.
func (a *agent) readyNodes() []overlay.Node {
	var nodes []overlay.Node
	a.nodes.Each(func(_ string, node overlay.Node) {
		if ready(node) {
			nodes = append(nodes, node)
		}
	})
	slices.SortFunc(nodes, func(a, b overlay.Node) int { return a.Addr.Compare(b.Addr) })
	return nodes
}

func (a *agent) syncOverlay(self overlay.Node, nodes []overlay.Node, full bool) error {
	changed := a.written.nodes == nil || !slices.Equal(a.written.nodes, nodes)
	if !changed && !full {
		return nil
	}
	a.written.nodes = nil
	mtu, err := overlay.Sync(self, nodes, a.options.Uplink, a.options.MTU)
	if err != nil {
		return err
	}
	if err := overlay.SetSysctls(a.options.Sysctls); err != nil {
		return err
	}
	if changed {
		a.log.Info("overlay written", "range", self.PodCIDR, "nodes", len(nodes), "mtu", mtu)
	}
	a.written.nodes, a.written.mtu = nodes, mtu
	return nil
}

// syncFilter writes the table. Until everything that policies depend on has been listed, a table that an earlier run
// left stays as it is; without one, the first table knows no pod and so lets none through.
func (a *agent) syncFilter(ctx context.Context, self overlay.Node, nodes []overlay.Node, full bool) error {
	var rules *netpol.RuleSet
	if a.options.Policy {
		complete := a.pods.Synced() && a.namespaces.Synced() && a.policies.Synced()
		switch {
		case complete:
			a.readResults(full)
			rules = netpol.Decide(a.decisionState())
		case a.written.guarded:
			return nil
		case a.writer.Exists(ctx):
			a.written.guarded = true
			return nil
		default:
			rules = netpol.Decide(&netpol.State{})
		}
	}
	if full {
		if err := a.writer.Verify(ctx); err != nil {
			return err
		}
	}
	changed, err := a.writer.Write(ctx, nft.Render(a.filterNode(self, nodes), rules))
	if err != nil {
		return err
	}
	if changed {
		a.log.Debug("packet filter written")
	}
	a.written.guarded = true
	return nil
}

func (a *agent) filterNode(self overlay.Node, nodes []overlay.Node) *nft.Node {
	node := &nft.Node{
		PodCIDR:    self.PodCIDR,
		VXLANPort:  overlay.Port,
		Masquerade: a.options.Masquerade,
		Unmasked:   slices.Concat(a.options.ClusterPod, a.options.Unmasked),
	}
	for _, peer := range nodes {
		node.Peers = append(node.Peers, peer.Addr)
		node.Unmasked = append(node.Unmasked, peer.PodCIDR)
	}
	return node
}

// readResults looks for new CNI results. One that cannot be read is reported; its pod waits for its status.
func (a *agent) readResults(full bool) {
	if !a.newResults.Swap(false) && !full {
		return
	}
	attachments, err := a.results.Attachments()
	if err != nil {
		a.log.Warn("CNI results incomplete", "error", err)
	}
	if attachments != nil {
		a.attachments = attachments
	}
}

// decisionState gathers what the policies depend on. A local pod has the addresses that the CNI gave it, known before
// it runs; without a result, the one that its status names, unless the CNI has given that to another pod since.
func (a *agent) decisionState() *netpol.State {
	state := &netpol.State{Namespaces: map[string]labels.Set{}}
	addresses := map[string][]netip.Addr{}
	for addr, attachment := range a.attachments {
		key := attachment.Namespace + "/" + attachment.Pod
		addresses[key] = append(addresses[key], addr)
	}
	a.pods.Each(func(key string, p pod) {
		local := p.node == a.options.NodeName
		ips := []netip.Addr{p.ip}
		if local {
			ips = addresses[key]
			if _, taken := a.attachments[p.ip]; len(ips) == 0 && !taken {
				ips = []netip.Addr{p.ip}
			}
		}
		for _, ip := range ips {
			if ip.IsValid() {
				state.Pods = append(state.Pods, netpol.Pod{
					Namespace: p.namespace, Name: p.name, Labels: p.labels, IP: ip, Local: local, Ports: p.ports,
				})
			}
		}
	})
	a.namespaces.Each(func(name string, set labels.Set) { state.Namespaces[name] = set })
	a.policies.Each(func(_ string, p policy) { state.Policies = append(state.Policies, p.Policy) })
	return state
}
