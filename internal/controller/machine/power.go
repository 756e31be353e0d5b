package machine

import (
	"context"
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

// managedAgain is how soon managed components that were told to end are looked at.
const managedAgain = 200 * time.Millisecond

// observePower parts the managed components from the pods that are to be evicted
// when all nodes go, and tells a Node that cannot be asked for from one that nobody will
// answer for any more: the cluster is stopped, or its API server was silent for
// the whole time that a drain may take.
func (s *scene) observePower() {
	if !poweredOff(s.cluster) {
		return
	}
	own := func(pod corev1.Pod) bool { return addon.Managed(&pod) }
	s.managed = slices.DeleteFunc(slices.Clone(s.leaving), func(pod corev1.Pod) bool { return !own(pod) })
	s.leaving = slices.DeleteFunc(s.leaving, own)
	if s.situation.Node != NodeUnknown {
		return
	}
	off := s.cluster.Status.APIServerReady == nil && s.cluster.Status.PowerState.Code == v1beta1.PowerStopped
	if off || s.situation.Pods == PodsTimeUp {
		s.situation.Node = NodeGone
	}
}

// endManaged deletes what is left of the managed components (A6) when the
// customer's own pods have left. There is no other place for them when all nodes
// go: they are not evicted, as their disruption budgets would wait for one.
func (r *Reconciler) endManaged(ctx context.Context, s *scene, out *outcome) error {
	if len(s.leaving) > 0 || len(s.managed) == 0 {
		return nil
	}
	out.again = managedAgain
	for i := range s.managed {
		pod := &s.managed[i]
		if pod.DeletionTimestamp != nil {
			continue
		}
		uid := pod.UID
		err := s.tenant.Delete(ctx, pod, client.GracePeriodSeconds(1), client.Preconditions{UID: &uid})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	return nil
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
