package machine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// occupied is a Ready machine with a pod on it that a disruption budget protects:
// no controller runs here that would allow a disruption.
func (w *world) occupied(ordinal int32) (*v1beta1.Machine, *corev1.Pod, *policyv1.PodDisruptionBudget) {
	w.Helper()
	w.openAPI()
	m := w.ready(ordinal)
	labels := map[string]string{"app": "web"}
	one := intstr.FromInt32(1)
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}},
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web", Labels: labels},
		Spec:       corev1.PodSpec{NodeName: m.Spec.NodeName, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	w.create(budget)
	w.create(pod)
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	w.must(w.client.Status().Update(w.Context(), pod))
	return m, pod, budget
}

func (w *world) untilStopping(m *v1beta1.Machine) {
	w.Helper()
	w.until("the machine is told to end", func(ctx context.Context) bool {
		seen, err := w.machines.Observe(ctx, w.ref(m))
		return err == nil && seen.State == "Stopping"
	})
}

func TestMachineIsDrainedBeforeItGoes(t *testing.T) {
	w := newWorld(t)
	m, pod, budget := w.occupied(0)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.Spec.NodeName}}
	w.must(w.client.Delete(t.Context(), m))
	w.until("the budget is respected and named", func(ctx context.Context) bool {
		return w.exists(ctx, m) && m.Status.Phase == v1beta1.MachineDraining && strings.Contains(m.Status.Message, w.namespace+"/web")
	})
	if w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(node), node)); !node.Spec.Unschedulable {
		t.Error("a draining node is not cordoned")
	}
	if w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)); pod.DeletionTimestamp != nil {
		t.Error("a protected pod was evicted")
	}
	if m.Status.DrainStarted == nil {
		t.Error("nobody noted when the drain began")
	}
	w.must(w.client.Delete(t.Context(), budget))
	w.until("the pod is evicted", func(ctx context.Context) bool { return w.exists(ctx, pod) && pod.DeletionTimestamp != nil })
	if seen, err := w.machines.Observe(t.Context(), w.ref(m)); err != nil || seen.State != "Running" {
		t.Errorf("the machine is %s, %v while its pod ends", seen.State, err)
	}
	w.must(w.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	w.untilStopping(m)
	w.machines.Halt(w.ref(m))
	w.untilGone(m, node, w.token(m), w.kept(m))
}

// kept is the Secret that keeps a machine's token.
func (w *world) kept(m *v1beta1.Machine) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.MachineNamespace(w.id), Name: m.Spec.NodeName + "-token"}}
}

func TestDrainEndsWithItsTimeout(t *testing.T) {
	w := newWorld(t)
	m, pod, _ := w.occupied(0)
	w.must(w.client.Delete(t.Context(), m))
	w.untilPhase(m, v1beta1.MachineDraining)
	w.clock.advance(29 * time.Minute)
	w.nudge(m)
	w.until("another round", func(ctx context.Context) bool { return w.exists(ctx, m) && m.Status.Phase == v1beta1.MachineDraining })
	w.clock.advance(2 * time.Minute)
	w.untilStopping(m)
	if w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)); pod.DeletionTimestamp != nil {
		t.Error("a protected pod was deleted; it goes with its node")
	}
	w.machines.Halt(w.ref(m))
	w.untilGone(m)
}

// A machine that goes for good passes budgets where that is asked for while it drains
// (AKS: delete-node-pool).
func TestDrainPassesBudgetsWhenAsked(t *testing.T) {
	w := newWorld(t)
	m, pod, _ := w.occupied(0)
	w.must(w.client.Delete(t.Context(), m))
	w.until("the budget holds it up", func(ctx context.Context) bool {
		return w.exists(ctx, m) && m.Status.Phase == v1beta1.MachineDraining && strings.Contains(m.Status.DrainBlocker, "PodDisruptionBudget")
	})
	w.respec(m, func(s *v1beta1.MachineSpec) { s.ForceDrain = true })
	w.until("the pod is deleted", func(ctx context.Context) bool { return w.exists(ctx, pod) && pod.DeletionTimestamp != nil })
	w.must(w.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	w.untilStopping(m)
	w.machines.Halt(w.ref(m))
	w.untilGone(m)
}

func TestDeletedClusterIsNotDrained(t *testing.T) {
	w := newWorld(t)
	m, pod, _ := w.occupied(0)
	w.must(w.client.Delete(t.Context(), w.cluster))
	w.must(w.client.Delete(t.Context(), m))
	w.untilStopping(m)
	if w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)); pod.DeletionTimestamp != nil {
		t.Error("pods of a deleted cluster were evicted")
	}
	w.machines.Halt(w.ref(m))
	w.untilGone(m, w.kept(m))
}

func TestMachineThatNeverJoinedGoesAtOnce(t *testing.T) {
	w := newWorld(t)
	m := w.newMachine(0)
	w.until("the machine is made", func(context.Context) bool { return w.machines.Boot(w.ref(m)) != "" })
	w.must(w.client.Delete(t.Context(), m))
	w.untilStopping(m)
	w.machines.Halt(w.ref(m))
	w.openAPI()
	w.untilGone(m)
}

// guarded has the cluster refuse to do something with a machine's Node, since a webhook of
// the customer's does not answer. try does it for once.
func (w *world) guarded(m *v1beta1.Machine, what admissionv1.OperationType, try func(context.Context, *corev1.Node) error) client.Object {
	w.Helper()
	nobody, fail, none := "https://127.0.0.1:1/", admissionv1.Fail, admissionv1.SideEffectClassNone
	hook := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}, Webhooks: []admissionv1.ValidatingWebhook{{
		Name: "nodes.example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: &none, FailurePolicy: &fail,
		ClientConfig: admissionv1.WebhookClientConfig{URL: &nobody},
		Rules: []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{what},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"nodes"}},
		}},
		MatchConditions: []admissionv1.MatchCondition{{Name: "one", Expression: "request.name == '" + m.Spec.NodeName + "'"}},
	}}}
	w.create(hook)
	w.Cleanup(func() { _ = client.IgnoreNotFound(w.client.Delete(context.Background(), hook)) })
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.Spec.NodeName}}
	w.until("the webhook is asked", func(ctx context.Context) bool { return try(ctx, node.DeepCopy()) != nil })
	return hook
}

// A node that cannot be cordoned has the time of a drain and no more, and the reason is
// told.
func TestNodeThatCannotBeCordoned(t *testing.T) {
	w := newWorld(t)
	m, pod, budget := w.occupied(0)
	w.must(w.client.Delete(t.Context(), budget))
	hook := w.guarded(m, admissionv1.Update, func(ctx context.Context, node *corev1.Node) error {
		return w.client.Patch(ctx, node, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"try":"it"}}}`)), client.DryRunAll)
	})
	w.must(w.client.Delete(t.Context(), m))
	w.until("the drain has begun and names what holds it up", func(ctx context.Context) bool {
		return w.exists(ctx, m) && m.Status.Phase == v1beta1.MachineDraining && m.Status.DrainStarted != nil &&
			strings.Contains(m.Status.DrainBlocker, "cannot be cordoned") && strings.Contains(m.Status.DrainBlocker, "nodes.example.com")
	})
	if w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)); pod.DeletionTimestamp != nil {
		t.Error("a pod was evicted that could come back to its node")
	}
	w.clock.advance(31 * time.Minute)
	w.untilStopping(m)
	w.must(w.client.Delete(t.Context(), hook))
	w.machines.Halt(w.ref(m))
	w.untilGone(m)
}

// A Node that cannot be deleted does not hold a stop up: it stays for the machine that has
// its name after the start (J1).
func TestStopLeavesANodeThatCannotBeDeleted(t *testing.T) {
	w := newWorld(t)
	w.openAPI()
	m := w.ready(0)
	hook := w.guarded(m, admissionv1.Delete, func(ctx context.Context, node *corev1.Node) error {
		return w.client.Delete(ctx, node, client.DryRunAll)
	})
	w.until("the cluster is asked to stop", func(ctx context.Context) bool {
		w.must(w.client.Get(ctx, client.ObjectKeyFromObject(w.cluster), w.cluster))
		w.cluster.Spec.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerStopped}
		return w.client.Update(ctx, w.cluster) == nil
	})
	w.must(w.client.Delete(t.Context(), m))
	w.untilStopping(m)
	w.machines.Halt(w.ref(m))
	w.untilGone(m)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.Spec.NodeName}}
	if !w.exists(t.Context(), node) {
		t.Error("the webhook was not asked")
	}
	w.must(w.client.Delete(t.Context(), hook))
	w.until("the node goes", func(ctx context.Context) bool { return client.IgnoreNotFound(w.client.Delete(ctx, node)) == nil })
}
