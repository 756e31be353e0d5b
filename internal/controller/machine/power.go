package machine

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/policy"
)

// poweredOff says whether all machines of a cluster go at once, to come back later
// under the same names (AKS: start-stop-cluster, certificate-rotation).
func poweredOff(cluster *v1beta1.ManagedCluster) bool { return policy.NodesAway(cluster) }

// observePower tells a Node that cannot be asked for from one that nobody will
// answer for any more: the cluster is stopped, or its API server was silent for
// the whole time that a drain may take.
func (s *scene) observePower() {
	if !poweredOff(s.cluster) || s.situation.Node != NodeUnknown {
		return
	}
	off := s.cluster.Status.APIServerReady == nil && s.cluster.Status.PowerState.Code == v1beta1.PowerStopped
	if off || s.situation.Pods == PodsTimeUp {
		s.situation.Node = NodeGone
	}
}

// withoutManaged leaves out the managed components (A6) where all nodes go at once:
// there is no other place for them, and they end with their machine.
func withoutManaged(cluster *v1beta1.ManagedCluster, pods []corev1.Pod) []corev1.Pod {
	if !poweredOff(cluster) {
		return pods
	}
	return slices.DeleteFunc(pods, func(pod corev1.Pod) bool { return addon.Managed(&pod) })
}

// endPods deletes what was bound to a node that is gone: a pod without a
// controller ends with its node, also where the next machine has the same name.
func (r *Reconciler) endPods(ctx context.Context, s *scene, _ *outcome) error {
	if s.tenant == nil {
		return errNoTenant
	}
	var pods corev1.PodList
	if err := s.tenant.List(ctx, &pods, client.MatchingFields{"spec.nodeName": s.ref.Name}); err != nil {
		return fmt.Errorf("list pods of node %s: %w", s.ref.Name, err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		uid := pod.UID
		err := s.tenant.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &uid})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete pod %s/%s of node %s: %w", pod.Namespace, pod.Name, s.ref.Name, err)
		}
	}
	return nil
}
