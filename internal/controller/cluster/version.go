package cluster

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// version decides which release the cluster runs, and takes it there.
func (r *reconciler) version(ctx context.Context, p *pass) (bool, error) {
	wanted, ok := r.wanted(p)
	if ok && (p.cluster.Status.Replicas != nil || p.cluster.Spec.SKU.HighlyAvailable() || p.cluster.Status.Upgrade.UnderWay() || incomplete(p.cluster) || p.cluster.Status.CurrentKubernetesVersion != wanted.Version) {
		// What was written down last decides, and a cache may not have it yet.
		var live v1beta1.ManagedCluster
		if err := r.reader.Get(ctx, client.ObjectKeyFromObject(p.cluster), &live); err != nil {
			return false, fmt.Errorf("read cluster: %w", err)
		}
		p.cluster = &live
		wanted, ok = r.wanted(p)
	}
	if !ok {
		return false, nil
	}
	if err := r.beginReplicas(ctx, p); err != nil {
		return false, err
	}
	goOn, err := r.upgrade(ctx, p, wanted)
	if p.input.ID == "" {
		p.input = r.render(p)
		p.shapeReplicas()
	}
	return goOn, err
}

// ofNewer says whether a cluster is left to a newer build of Berth: the version that it asks
// for is not known here, and may be there.
func (r *reconciler) ofNewer(p *pass) bool {
	_, known := wantedRelease(r.Catalogue, p.cluster.Spec.KubernetesVersion, p.cluster.Status.CurrentKubernetesVersion)
	return !known && p.cluster.DeletionTimestamp.IsZero() && operation.MayBeOfNewer(p.cluster, p.now)
}

// wanted is the release that the control plane has to run next for what the cluster
// asks for, which becomes the goal of the pass.
func (r *reconciler) wanted(p *pass) (release.Release, bool) {
	asked, current := p.cluster.Spec.KubernetesVersion, p.cluster.Status.CurrentKubernetesVersion
	wanted, ok := wantedRelease(r.Catalogue, asked, current)
	if !ok {
		p.found.broken = notThere(asked, current)
		return wanted, false
	}
	if current != "" && current != wanted.Version && halted(p.cluster) {
		wanted, _ = r.Catalogue.Release(current)
	}
	p.goal = wanted
	return policy.NextStep(r.Catalogue, current, wanted), true
}

// notThere is that nothing of what a cluster asks for is in the catalogue: also not what it runs
// already, where it asks for nothing else.
func notThere(asked, current string) *v1beta1.OperationError {
	failure := &v1beta1.OperationError{
		Code:    "K8sVersionNotSupported",
		Message: fmt.Sprintf("Kubernetes version %q is not in the release catalogue; ask for one that is", asked),
		Target:  "kubernetesVersion",
	}
	if current != "" && (asked == current || asked == release.Minor(current)) {
		failure.Message = fmt.Sprintf("The cluster runs on, but cannot be changed: %v", release.Unknown(current))
	}
	return failure
}

// halted says whether an upgrade was aborted that has not begun, or has done a step of
// several: the next is not begun (AKS: abort).
func halted(cluster *v1beta1.ManagedCluster) bool {
	up := cluster.Status.Upgrade
	switch {
	case !operation.Aborted(cluster):
		return false
	case up != nil && up.Operation == cluster.Annotations[v1beta1.AnnotationOperation]:
		return up.Phase == v1beta1.UpgradeSucceeded
	default:
		return !up.UnderWay()
	}
}

// wantedRelease resolves what a customer asked for. Asking for a minor, or for
// nothing, never changes the patch that runs (AKS: supported-kubernetes-versions).
func wantedRelease(catalogue *release.Catalogue, asked, current string) (release.Release, bool) {
	if running, ok := catalogue.Release(current); ok && (asked == "" || asked == running.Minor()) {
		return running, true
	}
	return catalogue.Resolve(asked)
}

// render fills in all that is known before the Services have addresses.
func (r *reconciler) render(p *pass) controlplane.Input {
	spec := &p.cluster.Spec
	return controlplane.Input{
		Owner: client.ObjectKeyFromObject(p.cluster), ID: spec.ID, ResourceGroup: spec.ResourceGroup, ClusterName: spec.Name,
		Images: controlplane.Images{
			Kube:               p.release.KubeImage,
			Etcd:               r.Catalogue.Images["etcd"],
			KonnectivityServer: r.Catalogue.Images["konnectivity-server"],
			EtcdSnapshot:       r.Catalogue.Images["etcd-snapshot"],
		},
		FQDN: controlplane.FQDN(spec), GatewayURL: r.GatewayURL,
		PodCIDR: spec.NetworkProfile.PodCIDR, ServiceCIDR: spec.NetworkProfile.ServiceCIDR,
		PrivateRanges: r.PrivateRanges, NoEgress: spec.NetworkProfile.OutboundType == policy.OutboundNone,
	}
}
