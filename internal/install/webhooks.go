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

// checkedKind is a kind that `berth serve` checks, and when.
type checkedKind struct {
	resource string
	// written: it is validated when it is created and updated, and defaulted before.
	written, defaulted bool
	// kept: a lock may keep it from being deleted (X3).
	kept bool
}

// checkedKinds are the kinds by their names in paths.
func checkedKinds() map[string]checkedKind {
	return map[string]checkedKind{
		"managedcluster":           {resource: "managedclusters", written: true, defaulted: true, kept: true},
		"agentpool":                {resource: "agentpools", written: true, defaulted: true, kept: true},
		"maintenanceconfiguration": {resource: "maintenanceconfigurations", written: true, defaulted: true},
		"resourcegroup":            {resource: "resourcegroups", kept: true},
		"snapshot":                 {resource: "snapshots", kept: true},
		"advisory":                 {resource: "advisories", written: true, defaulted: true},
		"knownissue":               {resource: "knownissues", written: true},
	}
}

// webhookPath is where a kind is checked, by controller-runtime's convention.
func webhookPath(verb, kind string) string {
	group := strings.ReplaceAll(v1beta1.GroupVersion.Group, ".", "-")
	return "/" + verb + "-" + group + "-" + v1beta1.GroupVersion.Version + "-" + kind
}

const webhookTimeoutSeconds = 10

// Webhooks renders the admission of Berth's own kinds. It fails closed: an object
// that was not checked must not be stored, and one that may be locked not deleted.
func Webhooks(c Config) []client.Object {
	policy, match, none := admissionv1.Fail, admissionv1.Equivalent, admissionv1.SideEffectClassNone
	timeout := int32(webhookTimeoutSeconds)
	var mutating []admissionv1.MutatingWebhook
	var validating []admissionv1.ValidatingWebhook
	for _, kind := range slices.Sorted(maps.Keys(checkedKinds())) {
		checked := checkedKinds()[kind]
		written := []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}
		var validated []admissionv1.OperationType
		if checked.written {
			validated = append(validated, written...)
		}
		if checked.defaulted {
			mutating = append(mutating, admissionv1.MutatingWebhook{
				Name: kind + ".default.berth.dev", Rules: on(checked.resource, written), ClientConfig: call(c, webhookPath("mutate", kind)),
				FailurePolicy: &policy, MatchPolicy: &match, SideEffects: &none, TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"},
			})
		}
		if checked.kept {
			validated = append(validated, admissionv1.Delete)
		}
		validating = append(validating, admissionv1.ValidatingWebhook{
			Name: kind + ".validate.berth.dev", Rules: on(checked.resource, validated), ClientConfig: call(c, webhookPath("validate", kind)),
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

func on(resource string, operations []admissionv1.OperationType) []admissionv1.RuleWithOperations {
	scope := admissionv1.AllScopes
	return []admissionv1.RuleWithOperations{{
		Operations: operations,
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
