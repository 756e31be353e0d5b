package install

import (
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// checkedKinds are the kinds that `berth serve` defaults and validates, and their resources.
func checkedKinds() map[string]string {
	return map[string]string{
		"managedcluster": "managedclusters", "agentpool": "agentpools", "maintenanceconfiguration": "maintenanceconfigurations",
	}
}

// webhookPath is where a kind is checked, by controller-runtime's convention.
func webhookPath(verb, kind string) string {
	group := strings.ReplaceAll(v1beta1.GroupVersion.Group, ".", "-")
	return "/" + verb + "-" + group + "-" + v1beta1.GroupVersion.Version + "-" + kind
}

const webhookTimeoutSeconds = 10

// Webhooks renders the admission of Berth's own kinds. It fails closed: an object
// that was not checked must not be stored.
func Webhooks(c Config) []client.Object {
	policy, match, none := admissionv1.Fail, admissionv1.Equivalent, admissionv1.SideEffectClassNone
	timeout := int32(webhookTimeoutSeconds)
	var mutating []admissionv1.MutatingWebhook
	var validating []admissionv1.ValidatingWebhook
	for _, kind := range slices.Sorted(maps.Keys(checkedKinds())) {
		mutating = append(mutating, admissionv1.MutatingWebhook{
			Name: kind + ".default.berth.dev", Rules: written(checkedKinds()[kind]), ClientConfig: call(c, webhookPath("mutate", kind)),
			FailurePolicy: &policy, MatchPolicy: &match, SideEffects: &none, TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"},
		})
		validating = append(validating, admissionv1.ValidatingWebhook{
			Name: kind + ".validate.berth.dev", Rules: written(checkedKinds()[kind]), ClientConfig: call(c, webhookPath("validate", kind)),
			FailurePolicy: &policy, MatchPolicy: &match, SideEffects: &none, TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"},
		})
	}
	kind := func(name string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: name}
	}
	wide := metav1.ObjectMeta{Name: Name, Labels: map[string]string{labelName: Name}}
	return []client.Object{
		&admissionv1.MutatingWebhookConfiguration{TypeMeta: kind("MutatingWebhookConfiguration"), ObjectMeta: wide, Webhooks: mutating},
		&admissionv1.ValidatingWebhookConfiguration{TypeMeta: kind("ValidatingWebhookConfiguration"), ObjectMeta: wide, Webhooks: validating},
	}
}

func written(resource string) []admissionv1.RuleWithOperations {
	scope := admissionv1.AllScopes
	return []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule: admissionv1.Rule{
			APIGroups: []string{v1beta1.GroupVersion.Group}, APIVersions: []string{v1beta1.GroupVersion.Version},
			Resources: []string{resource}, Scope: &scope,
		},
	}}
}

func call(c Config, path string) admissionv1.WebhookClientConfig {
	port := int32(443)
	return admissionv1.WebhookClientConfig{CABundle: c.CA,
		Service: &admissionv1.ServiceReference{Namespace: Namespace, Name: WebhookService, Path: &path, Port: &port}}
}
