package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"golang.org/x/sync/errgroup"

	"berth.dev/berth/internal/network/cni"
	"berth.dev/berth/internal/network/nft"
	"berth.dev/berth/internal/network/overlay"
	"berth.dev/berth/internal/watch"
)

// Options configure the agent of one node.
type Options struct {
	NodeName   string         // name of the Node object
	ClusterPod []netip.Prefix // the cluster's pod ranges, whose members see pod addresses
	Unmasked   []netip.Prefix // further destinations that see pod addresses
	Policy     bool           // enforce NetworkPolicy
	Masquerade bool           // pods borrow the node's address outside the cluster
	CNIDir     string         // where containerd reads its CNI configuration
	ResultsDir string         // where containerd keeps CNI results
	Uplink     string         // device of the overlay; empty: the one with the node's address
	MTU        int            // of pods and overlay, bytes; 0: the uplink's less the overlay's overhead
	Sysctls    string         // /proc/sys
}

// agent keeps one node's network as the API server wants it. Only sync changes the node, and only from the loop's goroutine.
type agent struct {
	options Options
	log     *slog.Logger
	loop    *watch.Loop

	nodes      *watch.Store[*corev1.Node, overlay.Node]
	pods       *watch.Store[*corev1.Pod, pod]
	namespaces *watch.Store[*corev1.Namespace, labels.Set]
	policies   *watch.Store[*networkingv1.NetworkPolicy, policy]

	writer      *nft.Writer
	results     *cni.Results
	newResults  atomic.Bool
	attachments map[netip.Addr]cni.Attachment
	written     state // what the last pass left
	lastSuccess atomic.Int64
}

// state is what sync remembers from one pass to the next.
type state struct {
	nodes     []overlay.Node // that the overlay was written for; nil: not yet
	mtu       int
	guarded   bool // the table is in the kernel, so that pods may start
	attempted bool // something has been logged about waiting
}

func newAgent(options Options, writer *nft.Writer, log *slog.Logger) *agent {
	a := &agent{
		options: options,
		log:     log,
		loop:    watch.NewLoop(),
		writer:  writer,
		results: cni.NewResults(options.ResultsDir),
	}
	a.newResults.Store(true)
	report := func(err error) { log.Warn("policy allows less than it says", "error", err) }
	a.nodes = watch.NewStore(keepNode, equalNodes, a.loop.Notify)
	a.pods = watch.NewStore(keepPod, equalPods, a.loop.Notify)
	a.namespaces = watch.NewStore(keepNamespace, equalLabels, a.loop.Notify)
	a.policies = watch.NewStore(keepPolicy(report), equalPolicies, a.loop.Notify)
	return a
}

// Run is the agent: it follows the API server and keeps the node's network until the context ends. What it has set up
// stays when it returns, so that pods keep their network while the agent is replaced.
func Run(ctx context.Context, options Options, client *watch.Client, log *slog.Logger, health string) error {
	writer, err := nft.NewWriter()
	if err != nil {
		return err
	}
	a := newAgent(options, writer, log)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.follow(ctx, client) })
	if options.Policy {
		group.Go(func() error {
			return cni.Watch(ctx, options.ResultsDir, func() { a.newResults.Store(true); a.loop.Notify() })
		})
	}
	if health != "" {
		group.Go(func() error { return serveHealth(ctx, health, answers(a.healthy, a.alive)) })
	}
	group.Go(func() error { a.loop.Run(ctx, log, a.sync); return nil })
	return group.Wait()
}

func (a *agent) follow(ctx context.Context, client *watch.Client) error {
	group, ctx := errgroup.WithContext(ctx)
	core := corev1.SchemeGroupVersion
	group.Go(func() error {
		return client.Follow(ctx, watch.Resource{GroupVersion: core, Name: "nodes", Example: &corev1.Node{}}, a.nodes)
	})
	if !a.options.Policy {
		return group.Wait()
	}
	group.Go(func() error {
		return client.Follow(ctx, watch.Resource{GroupVersion: core, Name: "pods", Example: &corev1.Pod{}}, a.pods)
	})
	group.Go(func() error {
		resource := watch.Resource{GroupVersion: core, Name: "namespaces", Example: &corev1.Namespace{}}
		return client.Follow(ctx, resource, a.namespaces)
	})
	group.Go(func() error {
		resource := watch.Resource{
			GroupVersion: networkingv1.SchemeGroupVersion, Name: "networkpolicies", Example: &networkingv1.NetworkPolicy{},
		}
		return client.Follow(ctx, resource, a.policies)
	})
	return group.Wait()
}

// healthy returns an error when the node's network has not been known to be right for three checks.
func (a *agent) healthy() error {
	last := a.lastSuccess.Load()
	if last == 0 {
		return errors.New("node's network is not set up yet")
	}
	if age := time.Since(time.Unix(last, 0)); age > 3*a.loop.Check {
		return fmt.Errorf("node's network was last right %s ago", age.Round(time.Second))
	}
	return nil
}

// stalled is how long the loop may not turn before the agent is taken for hung: far longer than a pass takes on a machine
// that is loaded. What it waits for elsewhere, such as the API server, does not count: the loop turns meanwhile.
const stalled = time.Minute

// alive returns an error when the loop has not turned for too long: only a new process heals that (E3).
func (a *agent) alive() error {
	if idle := a.loop.Idle(); idle > stalled {
		return fmt.Errorf("the agent's loop has not turned for %s", idle.Round(time.Second))
	}
	return nil
}
