package inspect

import (
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// systemGroups are the API groups that components of the system cannot do without.
var systemGroups = []string{"*", "", "apps", "batch", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "policy", "rbac.authorization.k8s.io"}

// hook is a webhook of either kind.
type hook struct {
	name, configuration string
	rules               []admissionv1.RuleWithOperations
	failure             *admissionv1.FailurePolicyType
	// selector is on namespaces, and objects on what is written.
	selector, objects *metav1.LabelSelector
	conditions        []admissionv1.MatchCondition
	service           *admissionv1.ServiceReference
}

// webhooks finds the customer's admission webhooks that must answer for objects in
// kube-system, and whose Service has nobody who could.
func (i inspection) webhooks(ctx context.Context) error {
	hooks, err := i.hooks(ctx)
	if err != nil || len(hooks) == 0 {
		return err
	}
	var system corev1.Namespace
	if err := i.reader.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &system); err != nil {
		return fmt.Errorf("read namespace %s: %w", metav1.NamespaceSystem, err)
	}
	for _, one := range hooks {
		if !one.catches(system.Labels) {
			continue
		}
		answers, err := i.answers(ctx, one.service)
		if err != nil {
			return err
		}
		if !answers {
			i.evidence.Webhooks = append(i.evidence.Webhooks, fmt.Sprintf("%s, whose Service %s/%s has no ready endpoint", one.name, one.service.Namespace, one.service.Name))
		}
	}
	return nil
}

// hooks are all webhooks that the service does not manage.
func (i inspection) hooks(ctx context.Context) ([]hook, error) {
	var validating admissionv1.ValidatingWebhookConfigurationList
	var mutating admissionv1.MutatingWebhookConfigurationList
	for _, list := range []client.ObjectList{&validating, &mutating} {
		if err := i.reader.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list webhook configurations: %w", err)
		}
	}
	var hooks []hook
	for n := range validating.Items {
		if i.ours("ValidatingWebhookConfiguration", &validating.Items[n]) {
			continue
		}
		for _, w := range validating.Items[n].Webhooks {
			hooks = append(hooks, hook{w.Name, validating.Items[n].Name, w.Rules, w.FailurePolicy, w.NamespaceSelector, w.ObjectSelector, w.MatchConditions, w.ClientConfig.Service})
		}
	}
	for n := range mutating.Items {
		if i.ours("MutatingWebhookConfiguration", &mutating.Items[n]) {
			continue
		}
		for _, w := range mutating.Items[n].Webhooks {
			hooks = append(hooks, hook{w.Name, mutating.Items[n].Name, w.Rules, w.FailurePolicy, w.NamespaceSelector, w.ObjectSelector, w.MatchConditions, w.ClientConfig.Service})
		}
	}
	return hooks, nil
}

// catches says whether requests that the system makes in a namespace fail when the
// webhook does not answer. What answers at a URL cannot be seen from here.
func (h hook) catches(namespace map[string]string) bool {
	system := slices.ContainsFunc(h.rules, func(rule admissionv1.RuleWithOperations) bool {
		return slices.ContainsFunc(rule.APIGroups, func(group string) bool { return slices.Contains(systemGroups, group) })
	})
	if !system || h.service == nil || h.failure != nil && *h.failure == admissionv1.Ignore {
		return false
	}
	if h.selector == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(h.selector)
	return err == nil && selector.Matches(labels.Set(namespace))
}

// answers says whether a Service has a ready endpoint.
func (i inspection) answers(ctx context.Context, service *admissionv1.ServiceReference) (bool, error) {
	var found discoveryv1.EndpointSliceList
	err := i.reader.List(ctx, &found, client.InNamespace(service.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service.Name})
	if err != nil {
		return false, fmt.Errorf("list endpoints of %s/%s: %w", service.Namespace, service.Name, err)
	}
	for _, slice := range found.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				return true, nil
			}
		}
	}
	return false, nil
}
