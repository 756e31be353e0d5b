package test

import (
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// A webhook that holds the system up is a finding of the cluster's supportability, which
// takes nothing away, and goes with it; one that leaves the system out is none (D4).
func TestWebhookOnSystem(t *testing.T) {
	w := newWorld(t)
	w.servicePolicy(supportFigures(time.Hour, time.Hour))
	w.start(w.nextGuard())
	w.create()
	w.untilSupport("a new cluster is supported", supported)
	w.bring(w.webhookOn("careful", metav1.LabelSelectorOpNotIn))
	careless := w.webhookOn("careless", metav1.LabelSelectorOpIn)
	w.bring(careless)
	w.untilSupport("the careless one is told", func(s *v1beta1.SupportStatus) bool { return len(s.Findings) == 1 })
	status := w.cluster().Status.Support
	if found := status.Findings[0]; found.Clause != "D4" || found.Reason != "WebhookOnSystem" || found.WayBack == "" || status.State != v1beta1.SupportSupported ||
		found.Message != "webhook careless.example.com of careless must answer for replicasets of the system, and cannot: its Service default/careless has no ready endpoint" {
		t.Errorf("%s: %+v", status.State, found)
	}
	if err := w.client.Delete(t.Context(), careless); err != nil {
		t.Fatal(err)
	}
	w.untilSupport("it is gone", func(s *v1beta1.SupportStatus) bool { return len(s.Findings) == 0 })
	w.delete()
	w.checkGone()
}

// webhookOn is one that nobody answers, for something that nothing here makes, in
// kube-system or everywhere else.
func (w *world) webhookOn(name string, where metav1.LabelSelectorOperator) *admissionv1.ValidatingWebhookConfiguration {
	none := admissionv1.SideEffectClassNone
	return &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}, Webhooks: []admissionv1.ValidatingWebhook{{
		Name: name + ".example.com", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: metav1.NamespaceDefault, Name: name}},
		NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "kubernetes.io/metadata.name", Operator: where, Values: []string{metav1.NamespaceSystem}},
		}},
		Rules: []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"replicasets"}},
		}},
	}}}
}
