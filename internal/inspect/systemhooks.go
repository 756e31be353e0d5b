package inspect

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/support"
)

// systemWrite is something that nodes and the service's components write all the time.
type systemWrite struct {
	group, resource string
	// parts are the subresources of it that are written, too.
	parts []string
	// namespaces are where; none for what is in no namespace, which no namespaceSelector
	// excludes.
	namespaces []string
	operations []admissionv1.OperationType
}

var (
	written = []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}
	removed = []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete}
	system  = []string{metav1.NamespaceSystem}
)

// systemWrites are what a cluster ails from if a webhook refuses it.
var systemWrites = []systemWrite{
	{"", "nodes", []string{"status"}, nil, written},
	{"coordination.k8s.io", "leases", nil, []string{metav1.NamespaceSystem, corev1.NamespaceNodeLease}, written},
	{"", "pods", []string{"status", "binding"}, system, removed},
	{"", "configmaps", nil, system, removed},
	{"", "services", nil, system, written},
	{"", "serviceaccounts", []string{"token"}, system, written},
	{"apps", "daemonsets", []string{"status"}, system, written},
	{"apps", "deployments", []string{"status"}, system, written},
	{"apps", "replicasets", []string{"status"}, system, removed},
	{"discovery.k8s.io", "endpointslices", nil, system, removed},
	{"rbac.authorization.k8s.io", "clusterroles", nil, nil, written},
	{"rbac.authorization.k8s.io", "clusterrolebindings", nil, nil, written},
	{"certificates.k8s.io", "certificatesigningrequests", []string{"approval", "status"}, nil, written},
}

// SystemWebhooks finds the customer's admission webhooks that must answer for what the
// system writes. One with failurePolicy Ignore, that leaves the system's namespaces out, or
// whose matchConditions say what it is about, is none: what a condition lets pass is not
// known here.
func (r Reader) SystemWebhooks(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]support.Webhook, error) {
	return r.findWebhooks(ctx, cluster, func(look inspection) (func(hook) []string, error) {
		namespaces, err := look.namespaces(ctx)
		return func(h hook) []string { return h.holds(namespaces) }, err
	})
}

// StopWebhooks finds those that must answer for what a stop or the start after it writes:
// what is in no namespace, the leases of nodes, and evictions anywhere (AKS:
// start-stop-cluster).
func (r Reader) StopWebhooks(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]support.Webhook, error) {
	return r.findWebhooks(ctx, cluster, func(look inspection) (func(hook) []string, error) {
		namespaces, err := look.namespaces(ctx)
		if err != nil {
			return nil, err
		}
		var all corev1.NamespaceList
		if err := look.reader.List(ctx, &all); err != nil {
			return nil, fmt.Errorf("list namespaces: %w", err)
		}
		return func(h hook) []string { return h.holdsStop(namespaces, all.Items) }, nil
	})
}

// findWebhooks finds the customer's webhooks that hold something, as holding says.
func (r Reader) findWebhooks(ctx context.Context, cluster *v1beta1.ManagedCluster, holding func(inspection) (func(hook) []string, error)) ([]support.Webhook, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	tenant, err := r.Tenants.Client(ctx, cluster.Spec.ID)
	if err != nil {
		return nil, err
	}
	look := inspection{reader: tenant, managed: r.Managed}
	hooks, err := look.hooks(ctx)
	if err != nil || len(hooks) == 0 {
		return nil, err
	}
	holds, err := holding(look)
	if err != nil {
		return nil, err
	}
	var found []support.Webhook
	for _, one := range hooks {
		resources := one.held(holds)
		if len(resources) == 0 {
			continue
		}
		webhook := support.Webhook{Name: one.name, Configuration: one.configuration, Resources: resources, Inside: one.service != nil}
		if one.service != nil {
			answers, err := look.answers(ctx, one.service)
			if err != nil {
				return nil, err
			}
			if !answers {
				webhook.Down = fmt.Sprintf("its Service %s/%s has no ready endpoint", one.service.Namespace, one.service.Name)
			}
		}
		found = append(found, webhook)
	}
	slices.SortFunc(found, func(a, b support.Webhook) int {
		return strings.Compare(a.Configuration+"/"+a.Name, b.Configuration+"/"+b.Name)
	})
	return found, nil
}

// namespaces are the labels of the system's.
func (i inspection) namespaces(ctx context.Context) (map[string]labels.Set, error) {
	found := map[string]labels.Set{}
	for _, name := range []string{metav1.NamespaceSystem, corev1.NamespaceNodeLease} {
		var one corev1.Namespace
		err := i.reader.Get(ctx, client.ObjectKey{Name: name}, &one)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read namespace %s: %w", name, err)
		}
		found[name] = one.Labels
	}
	return found, nil
}

// held is what cannot be written while the webhook does not answer.
func (h hook) held(holds func(hook) []string) []string {
	if h.failure != nil && *h.failure == admissionv1.Ignore || len(h.conditions) > 0 || !selects(h.objects, nil) {
		return nil // objects of the system bear none of the customer's labels
	}
	return holds(h)
}

// holds is what of the system the webhook must answer for.
func (h hook) holds(namespaces map[string]labels.Set) []string {
	var resources []string
	for _, write := range systemWrites {
		caught := len(write.namespaces) == 0 || slices.ContainsFunc(write.namespaces, func(name string) bool {
			set, there := namespaces[name]
			return there && selects(h.selector, set)
		})
		if caught && slices.ContainsFunc(h.rules, write.in) {
			resources = append(resources, write.resource)
		}
	}
	return resources
}

// holdsStop is what of a stop, and of the start after it, the webhook must answer for.
func (h hook) holdsStop(system map[string]labels.Set, all []corev1.Namespace) []string {
	resources := slices.DeleteFunc(h.holds(system), func(resource string) bool {
		return !slices.ContainsFunc(systemWrites, func(w systemWrite) bool {
			return w.resource == resource && (len(w.namespaces) == 0 || resource == "leases")
		})
	})
	deletes := slices.ContainsFunc(h.rules, systemWrite{resource: "nodes", operations: []admissionv1.OperationType{admissionv1.Delete}}.in)
	if deletes && !slices.Contains(resources, "nodes") {
		resources = append(resources, "nodes")
	}
	anywhere := slices.ContainsFunc(all, func(n corev1.Namespace) bool { return selects(h.selector, n.Labels) })
	if anywhere && slices.ContainsFunc(h.rules, evicts) {
		resources = append(resources, support.Evictions)
	}
	return resources
}

// evicts says whether a rule is about evictions, which no pattern without a subresource
// names.
func evicts(rule admissionv1.RuleWithOperations) bool {
	if rule.Scope != nil && *rule.Scope == admissionv1.ClusterScope {
		return false
	}
	operation := func(o admissionv1.OperationType) bool {
		return o == admissionv1.OperationAll || o == admissionv1.Create
	}
	group := func(g string) bool { return g == "*" || g == "" }
	named := func(pattern string) bool {
		resource, part, _ := strings.Cut(pattern, "/")
		return (resource == "*" || resource == "pods") && (part == "*" || part == "eviction")
	}
	return slices.ContainsFunc(rule.Operations, operation) && slices.ContainsFunc(rule.APIGroups, group) && slices.ContainsFunc(rule.Resources, named)
}

// in says whether a rule is about the write.
func (w systemWrite) in(rule admissionv1.RuleWithOperations) bool {
	scope := admissionv1.NamespacedScope
	if len(w.namespaces) == 0 {
		scope = admissionv1.ClusterScope
	}
	if rule.Scope != nil && *rule.Scope != admissionv1.AllScopes && *rule.Scope != scope {
		return false
	}
	operation := func(o admissionv1.OperationType) bool {
		return o == admissionv1.OperationAll || slices.Contains(w.operations, o)
	}
	group := func(g string) bool { return g == "*" || g == w.group }
	return slices.ContainsFunc(rule.Operations, operation) && slices.ContainsFunc(rule.APIGroups, group) && slices.ContainsFunc(rule.Resources, w.named)
}

// named says whether the pattern of a rule names the resource or a part of it that is written.
func (w systemWrite) named(pattern string) bool {
	resource, part, hasPart := strings.Cut(pattern, "/")
	if resource != "*" && resource != w.resource {
		return false
	}
	return !hasPart || part == "*" || slices.Contains(w.parts, part)
}

// selects says whether a selector matches labels; one that nothing can be made of matches none.
func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	if selector == nil {
		return true
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(set)
}
