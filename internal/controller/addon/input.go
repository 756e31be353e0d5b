package addon

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy/rollout"
	"berth.dev/berth/internal/release"
)

// input gathers what the components are rendered from.
func (r *reconciler) input(ctx context.Context, cluster *v1beta1.ManagedCluster) (addon.Input, error) {
	running, ok := r.Catalogue.Release(cluster.Status.ComponentsVersion())
	if !ok {
		return addon.Input{}, release.Unknown(cluster.Status.ComponentsVersion())
	}
	var roots, metrics corev1.Secret
	for name, into := range map[string]*corev1.Secret{controlplane.RootsSecret: &roots, controlplane.MetricsSecret: &metrics} {
		key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(cluster.Spec.ID), Name: name}
		if err := r.reader.Get(ctx, key, into); err != nil {
			return addon.Input{}, fmt.Errorf("read secret %s: %w", key, err)
		}
	}
	nodes, err := r.nodes(ctx, cluster)
	if err != nil {
		return addon.Input{}, err
	}
	network := cluster.Spec.NetworkProfile
	images, told := rollout.ImagesFor(&cluster.Status, r.Catalogue)
	if !told {
		return addon.Input{}, errors.New("no rollout has said which images the cluster gets")
	}
	return addon.Input{
		Images:              imagesOf(running.KubeImage, images, r.Catalogue),
		ControlPlaneAddress: cluster.Status.ControlPlaneAddress,
		PodCIDR:             network.PodCIDR, DNSServiceIP: network.DNSServiceIP,
		NetworkAgent: network.NetworkPlugin != "none", NetworkPolicy: network.NetworkPolicy == "azure",
		Nodes: nodes,
		CA:    roots.Data[corev1.TLSCertKey], MetricsCert: metrics.Data["server.crt"], MetricsKey: metrics.Data["server.key"],
	}, nil
}

// imagesOf are the components' images. Those that a cluster has until its wave comes may be
// of another build than what Berth renders (docs/decisions/0021-waves.md).
func imagesOf(kube string, images map[string]string, catalogue *release.Catalogue) addon.Images {
	return addon.Images{
		Kube: kube, CoreDNS: images["coredns"], KonnectivityAgent: images["konnectivity-agent"], MetricsServer: images["metrics-server"],
		Node: images["berth-node"], NodeLivez: images["berth-node"] == catalogue.Images["berth-node"],
	}
}

// nodes is how many nodes the cluster's pools are asked to have.
func (r *reconciler) nodes(ctx context.Context, cluster *v1beta1.ManagedCluster) (int32, error) {
	var pools v1beta1.AgentPoolList
	selector := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
	if err := r.client.List(ctx, &pools, client.InNamespace(cluster.Namespace), selector); err != nil {
		return 0, fmt.Errorf("list agent pools: %w", err)
	}
	var count int32
	for _, pool := range pools.Items {
		if pool.DeletionTimestamp.IsZero() && pool.Spec.Count != nil {
			count += *pool.Spec.Count
		}
	}
	return count, nil
}
