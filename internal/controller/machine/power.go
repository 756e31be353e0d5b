package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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

// heldTimeout bounds what the end of a machine would like to do in a cluster that is being
// stopped: a webhook of the customer's may take half a minute to say nothing. What does
// it three times stays within actTimeout.
const heldTimeout = 4 * time.Second

// whileHeld bounds what is done in a cluster that is being stopped.
func whileHeld(ctx context.Context, cluster *v1beta1.ManagedCluster) (context.Context, context.CancelFunc) {
	if !poweredOff(cluster) {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, heldTimeout)
}

// passes says whether what could not be done within whileHeld is left undone: no webhook of
// the customer's holds a stop up, whether it denies or does not answer (J1).
func passes(ctx context.Context, cluster *v1beta1.ManagedCluster, err error) bool {
	return poweredOff(cluster) && (byWebhook(err) || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil)
}

// endPods deletes what was bound to a node that is gone: a pod without a
// controller ends with its node, also where the next machine has the same name. What a
// webhook of the customer's keeps does not hold a stop up.
func (r *Reconciler) endPods(ctx context.Context, s *scene, _ *outcome) error {
	if s.tenant == nil {
		return errNoTenant
	}
	ctx, cancel := whileHeld(ctx, s.cluster)
	defer cancel()
	var pods corev1.PodList
	if err := s.tenant.List(ctx, &pods, client.MatchingFields{"spec.nodeName": s.ref.Name}); err != nil {
		return fmt.Errorf("list pods of node %s: %w", s.ref.Name, err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		uid := pod.UID
		err := s.tenant.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &uid})
		if client.IgnoreNotFound(err) != nil && !passes(ctx, s.cluster, err) {
			return fmt.Errorf("delete pod %s/%s of node %s: %w", pod.Namespace, pod.Name, s.ref.Name, err)
		}
	}
	return nil
}
