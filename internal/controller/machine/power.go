package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
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
// stopped: a webhook of the customer's may take half a minute to say nothing, longer than
// anybody here waits for the API server's words about it. hooksTimeout bounds the look whether
// there is one. What does both three times stays within actTimeout.
const (
	heldTimeout  = 3500 * time.Millisecond
	hooksTimeout = time.Second
)

// whileHeld bounds what is done in a cluster that is being stopped.
func whileHeld(ctx context.Context, cluster *v1beta1.ManagedCluster) (context.Context, context.CancelFunc) {
	if !poweredOff(cluster) {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, heldTimeout)
}

// passes says whether a deletion of such a resource that failed is left undone: no webhook or
// admission policy of the customer's holds a stop up, whether it denies or does not answer (J1). What takes too
// long without one that is asked is an API server that is slow, and tried again for as long
// as a drain may take. held is what bounded the deletion.
func (s *scene) passes(ctx, held context.Context, resource string, err error) bool {
	switch {
	case !poweredOff(s.cluster):
		return false
	case byWebhook(err):
		return true
	case !errors.Is(err, context.DeadlineExceeded) && held.Err() == nil:
		return false
	default:
		return s.timeUp || s.hooked(ctx, resource)
	}
}

// hooked says whether an admission webhook is asked when such a resource is deleted.
func (s *scene) hooked(ctx context.Context, resource string) bool {
	ctx, cancel := context.WithTimeout(ctx, hooksTimeout)
	defer cancel()
	var validating admissionv1.ValidatingWebhookConfigurationList
	var mutating admissionv1.MutatingWebhookConfigurationList
	if s.tenant.List(ctx, &validating) != nil || s.tenant.List(ctx, &mutating) != nil {
		return false
	}
	var rules []admissionv1.RuleWithOperations
	for _, configuration := range validating.Items {
		for _, hook := range configuration.Webhooks {
			rules = append(rules, hook.Rules...)
		}
	}
	for _, configuration := range mutating.Items {
		for _, hook := range configuration.Webhooks {
			rules = append(rules, hook.Rules...)
		}
	}
	return slices.ContainsFunc(rules, func(rule admissionv1.RuleWithOperations) bool { return onDelete(rule, resource) })
}

// onDelete says whether a rule is about deletions of a resource of the core group.
func onDelete(rule admissionv1.RuleWithOperations, resource string) bool {
	return slices.ContainsFunc(rule.Operations, func(o admissionv1.OperationType) bool {
		return o == admissionv1.OperationAll || o == admissionv1.Delete
	}) &&
		slices.ContainsFunc(rule.APIGroups, func(group string) bool { return group == "*" || group == "" }) &&
		slices.ContainsFunc(rule.Resources, func(named string) bool { return named == "*" || named == "*/*" || named == resource })
}

// endPods deletes what was bound to a node that is gone: a pod without a
// controller ends with its node, also where the next machine has the same name. What a
// webhook of the customer's keeps does not hold a stop up.
func (r *Reconciler) endPods(ctx context.Context, s *scene, _ *outcome) error {
	if s.tenant == nil {
		return errNoTenant
	}
	held, cancel := whileHeld(ctx, s.cluster)
	defer cancel()
	var pods corev1.PodList
	if err := s.tenant.List(held, &pods, client.MatchingFields{"spec.nodeName": s.ref.Name}); err != nil {
		return fmt.Errorf("list pods of node %s: %w", s.ref.Name, err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		uid := pod.UID
		err := s.tenant.Delete(held, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &uid})
		if client.IgnoreNotFound(err) != nil && !s.passes(ctx, held, "pods", err) {
			return fmt.Errorf("delete pod %s/%s of node %s: %w", pod.Namespace, pod.Name, s.ref.Name, err)
		}
		if err != nil && held.Err() != nil {
			break
		}
	}
	return nil
}
