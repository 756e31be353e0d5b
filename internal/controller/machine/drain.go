package machine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// lostAfter is how long past its grace period a pod is waited for: the kubelet
	// that should confirm its end may be dead.
	lostAfter = time.Minute
	// evictionTimeout bounds one eviction: client-go would wait out the time that a
	// refusal names.
	evictionTimeout = 2 * time.Second
	// blockedAgain is how soon an eviction that a disruption budget refused is tried again.
	blockedAgain = 5 * time.Second
)

// leaving are the pods that a drain waits for. Those of DaemonSets and static
// pods belong to the node and go with it; those that ended hold nothing.
func leaving(pods []corev1.Pod, now time.Time) []corev1.Pod {
	var left []corev1.Pod
	for _, pod := range pods {
		_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
		owner := metav1.GetControllerOf(&pod)
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		lost := pod.DeletionTimestamp != nil && now.Sub(pod.DeletionTimestamp.Time) > lostAfter
		if mirror || ended || lost || owner != nil && owner.Kind == "DaemonSet" {
			continue
		}
		left = append(left, pod)
	}
	return left
}

// errSealed ends a round of a drain whose Node takes new pods still.
var errSealed = errors.New("the node cannot be cordoned")

// seal cordons the Node before its pods are evicted: otherwise they could come back to
// it. A cluster that does not let it be cordoned, by a webhook of the customer's, holds
// the drain up, and the time that a drain may take runs on.
func (r *Reconciler) seal(ctx context.Context, s *scene, out *outcome) error {
	err := r.cordon(ctx, s, out)
	if err == nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return err
	}
	out.again, out.message = blockedAgain, err.Error()
	out.blocker = "the node, which cannot be cordoned: " + refusal(err)
	return errSealed
}

// maxRefusal bounds what the cluster's own words add to a status.
const maxRefusal = 300

// refusal is why a write in the cluster did not go through, in the API server's words.
func refusal(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "the API server does not answer in time, as when a webhook of the cluster does not"
	}
	text := err.Error()
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		text = status.Status().Message
	}
	if len(text) > maxRefusal {
		text = strings.ToValidUTF8(text[:maxRefusal], "") + "…"
	}
	return text
}

// hookWords are those of the API server about an admission webhook: it denied, or gave no
// answer that can be used; and about an admission policy, which denies without one.
var hookWords = []string{`admission webhook "`, "failed calling webhook", "ValidatingAdmissionPolicy '"}

// byWebhook says whether a write did not go through for an admission webhook, which denied
// it or did not answer, or for an admission policy. The API server tells it in words alone.
func byWebhook(err error) bool {
	status := apierrors.APIStatus(nil)
	return errors.As(err, &status) && slices.ContainsFunc(hookWords, func(words string) bool { return strings.Contains(status.Status().Message, words) })
}

// evict asks once for each pod that is left. A pod that a disruption budget
// protects, or more than one, is asked again in the next round, until the drain
// timeout; with force it is deleted.
func (r *Reconciler) evict(ctx context.Context, s *scene, out *outcome) error {
	refused := ""
	for i := range s.leaving {
		pod := &s.leaving[i]
		if pod.DeletionTimestamp != nil {
			continue
		}
		uid := pod.UID
		eviction := &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}},
		}
		err := s.evictOne(ctx, pod, eviction)
		if protected(err) && s.object.Spec.ForceDrain {
			err = s.tenant.Delete(ctx, pod, client.Preconditions{UID: &uid})
		}
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			continue
		}
		out.again = blockedAgain
		if refused == "" {
			refused = fmt.Sprintf("; %s/%s: %v", pod.Namespace, pod.Name, err)
			out.blocker = s.blocker(ctx, pod)
			// One that took too long was refused by a budget as well: see evictionTimeout.
			if byWebhook(err) {
				out.blocker = fmt.Sprintf("pod %s/%s, whose eviction fails: %s", pod.Namespace, pod.Name, refusal(err))
			}
		}
		// The round is over when its time is; the next one goes on.
		if ctx.Err() != nil {
			break
		}
	}
	if len(s.leaving) > 0 {
		if out.blocker == "" && s.object.Status.DrainStarted != nil {
			out.blocker = fmt.Sprintf("pod %s/%s, which has not ended yet", s.leaving[0].Namespace, s.leaving[0].Name)
		}
		out.message = fmt.Sprintf("%d pods still to leave%s", len(s.leaving), refused)
	}
	return nil
}

// protected says whether an eviction was refused for disruption budgets. Where two of them
// select a pod, the API server answers not 429 but 500, and never anything else: it cannot
// tell which one counts.
func protected(err error) bool {
	var answer apierrors.APIStatus
	if apierrors.IsTooManyRequests(err) {
		return true
	}
	if !errors.As(err, &answer) {
		return false
	}
	status := answer.Status()
	return status.Code == http.StatusInternalServerError && strings.Contains(status.Message, "more than one PodDisruptionBudget")
}

func (s *scene) evictOne(ctx context.Context, pod *corev1.Pod, eviction *policyv1.Eviction) error {
	ctx, cancel := context.WithTimeout(ctx, evictionTimeout)
	defer cancel()
	return s.tenant.SubResource("eviction").Create(ctx, pod, eviction)
}

// blocker names a pod that may not be evicted and the disruption budgets that
// protect it.
func (s *scene) blocker(ctx context.Context, pod *corev1.Pod) string {
	text := fmt.Sprintf("pod %s/%s", pod.Namespace, pod.Name)
	ctx, cancel := context.WithTimeout(ctx, evictionTimeout)
	defer cancel()
	var budgets policyv1.PodDisruptionBudgetList
	if err := s.tenant.List(ctx, &budgets, client.InNamespace(pod.Namespace)); err != nil {
		return text
	}
	for _, budget := range budgets.Items {
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err == nil && selector.Matches(labels.Set(pod.Labels)) {
			text += fmt.Sprintf(", PodDisruptionBudget %s/%s (%d healthy pods, %d needed)",
				budget.Namespace, budget.Name, budget.Status.CurrentHealthy, budget.Status.DesiredHealthy)
		}
	}
	return text
}
