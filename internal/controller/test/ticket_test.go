package test

import (
	"context"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/inspect"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy/triage"
)

// What is found in a cluster answers its tickets (X4): the service's own components are
// no evidence against the customer, also while a node is ill; what the customer brought
// is (D9, D4, G6); and what was changed of the system outweighs all of it (B4).
func TestTicketEvidence(t *testing.T) {
	w := newWorld(t)
	w.servicePolicy(supportFigures(time.Hour, time.Hour))
	w.start(w.nextGuard())
	w.create()
	w.untilSupport("a new cluster is supported", supported)
	w.mu.Lock()
	w.ill = func(machine.Observation) bool { return true }
	w.mu.Unlock()
	w.until("the node is ill", func() bool { return w.node().Status.Conditions[0].Status == corev1.ConditionFalse })

	w.answers(triage.NodeNotReady, v1beta1.AnswerInScope)
	w.answers(triage.Ingress, v1beta1.AnswerInScope)
	w.answers(triage.ManagedComponents, v1beta1.AnswerInScope)

	w.bring(&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "nginx"}, Spec: networkingv1.IngressClassSpec{Controller: "k8s.io/ingress-nginx"}})
	w.answers(triage.Ingress, v1beta1.AnswerOutOfScope, "D9")
	w.bringTuner()
	w.answers(triage.NodeNotReady, v1beta1.AnswerCustomersPart, "G6")
	w.bringWebhook()
	w.answers(triage.ManagedComponents, v1beta1.AnswerCustomersPart, "D4")

	w.changeNode("meddler", func(node *corev1.Node) { node.Labels["kubernetes.azure.com/role"] = "boss" })
	w.untilSupport("the change is a finding", func(s *v1beta1.SupportStatus) bool { return s.State == v1beta1.SupportOutOfSupport })
	w.answers(triage.NodeNotReady, v1beta1.AnswerOutOfScope, "B4", "G6")
	w.delete()
	w.checkGone()
}

// answers holds a ticket on the cluster, as it is now, to an answer and the first clauses of it.
func (w *world) answers(topic triage.Topic, want v1beta1.SupportAnswer, clauses ...string) {
	w.t.Helper()
	cluster := w.cluster()
	evidence := triage.Observe(cluster, []v1beta1.AgentPool{*w.pool()}, w.machineObjects(), catalogue().NodeImageVersion)
	managed, err := addon.Names()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := (inspect.Reader{Tenants: tenants{client: w.platform}, Managed: managed}).Inspect(w.t.Context(), cluster, &evidence); err != nil {
		w.t.Fatal(err)
	}
	answer := triage.Decide(triage.Ticket{Topic: topic}, evidence, w.now())
	if answer.Answer != want {
		w.t.Errorf("%s is %s, want %s: %+v", topic, answer.Answer, want, answer.Reasons)
	}
	for i, clause := range clauses {
		if i >= len(answer.Reasons) || answer.Reasons[i].Clause != clause {
			w.t.Errorf("%s: reasons %+v, want %v", topic, answer.Reasons, clauses)
			break
		}
	}
}

// bring makes what a customer brings, for as long as the test runs.
func (w *world) bring(object client.Object) {
	w.t.Helper()
	w.ensure(object)
	w.t.Cleanup(func() {
		if err := client.IgnoreNotFound(w.client.Delete(context.Background(), object, client.GracePeriodSeconds(0))); err != nil {
			w.t.Error(err)
		}
	})
}

// bringTuner makes a privileged DaemonSet with a pod that started just before the node fell ill.
func (w *world) bringTuner() {
	w.t.Helper()
	labels := map[string]string{"app": "tuner"}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "tuner", Image: "tuner", SecurityContext: &corev1.SecurityContext{Privileged: ptr(true)}}}}
	set := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "tuner"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}
	w.bring(set)
	node := w.node()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: metav1.NamespaceDefault, Name: "tuner", Labels: labels,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("DaemonSet"))},
	}, Spec: spec}
	pod.Spec.NodeName = node.Name
	w.bring(pod)
	start := metav1.NewTime(node.Status.Conditions[0].LastTransitionTime.Add(-time.Minute))
	pod.Status.StartTime = &start
	if err := w.client.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
}

// bringWebhook makes one that nobody answers, for something that nothing here makes.
func (w *world) bringWebhook() {
	w.t.Helper()
	none := admissionv1.SideEffectClassNone
	w.bring(&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "policy"}, Webhooks: []admissionv1.ValidatingWebhook{{
		Name: "policy.example.com", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		ClientConfig:      admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: metav1.NamespaceDefault, Name: "policy"}},
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": metav1.NamespaceSystem}},
		Rules: []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"controllerrevisions"}},
		}},
	}}})
}
