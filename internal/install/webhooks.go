package install

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// The paths of the admission webhook that `berth serve` answers.
const (
	MutatePath   = "/mutate"
	ValidatePath = "/validate"
)

const webhookTimeoutSeconds = 10

// Webhooks renders the admission of Berth's own kinds. It fails closed: an object
// that was not checked must not be stored.
func Webhooks(c Config) []client.Object {
	policy, match, none := admissionv1.Fail, admissionv1.Equivalent, admissionv1.SideEffectClassNone
	scope, timeout := admissionv1.AllScopes, int32(webhookTimeoutSeconds)
	rules := []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule: admissionv1.Rule{
			APIGroups: []string{v1beta1.GroupVersion.Group}, APIVersions: []string{v1beta1.GroupVersion.Version},
			Resources: []string{"managedclusters", "agentpools"}, Scope: &scope,
		},
	}}
	call := func(path string) admissionv1.WebhookClientConfig {
		port := int32(443)
		return admissionv1.WebhookClientConfig{CABundle: c.CA,
			Service: &admissionv1.ServiceReference{Namespace: Namespace, Name: WebhookService, Path: &path, Port: &port}}
	}
	kind := func(name string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: name}
	}
	wide := metav1.ObjectMeta{Name: Name, Labels: map[string]string{labelName: Name}}
	return []client.Object{
		&admissionv1.MutatingWebhookConfiguration{TypeMeta: kind("MutatingWebhookConfiguration"), ObjectMeta: wide,
			Webhooks: []admissionv1.MutatingWebhook{{
				Name: "default.berth.dev", Rules: rules, ClientConfig: call(MutatePath), FailurePolicy: &policy, MatchPolicy: &match,
				SideEffects: &none, TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"},
			}}},
		&admissionv1.ValidatingWebhookConfiguration{TypeMeta: kind("ValidatingWebhookConfiguration"), ObjectMeta: wide,
			Webhooks: []admissionv1.ValidatingWebhook{{
				Name: "validate.berth.dev", Rules: rules, ClientConfig: call(ValidatePath), FailurePolicy: &policy, MatchPolicy: &match,
				SideEffects: &none, TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"},
			}}},
	}
}
