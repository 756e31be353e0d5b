package inspect

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/support"
)

// ruleOn is a rule for every operation.
func ruleOn(group, resource string) admissionv1.RuleWithOperations {
	return admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.OperationAll},
		Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: []string{resource}},
	}
}

// What a webhook of a customer's must answer for of the system, and what it must not.
func TestWhatWebhooksHold(t *testing.T) {
	ignore, fail, cluster, namespaced := admissionv1.Ignore, admissionv1.Fail, admissionv1.ClusterScope, admissionv1.NamespacedScope
	namespaces := map[string]labels.Set{
		"kube-system": {"kubernetes.io/metadata.name": "kube-system"}, "kube-node-lease": {"kubernetes.io/metadata.name": "kube-node-lease"},
	}
	without := func(names ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: names}}}
	}
	marked := &metav1.LabelSelector{MatchLabels: map[string]string{"inject": "yes"}}
	one := func(change func(*hook), rules ...admissionv1.RuleWithOperations) hook {
		h := hook{name: "h", rules: rules}
		if change != nil {
			change(&h)
		}
		return h
	}
	deletes := ruleOn("", "nodes")
	deletes.Operations = []admissionv1.OperationType{admissionv1.Delete}
	inCluster, inNamespaces := ruleOn("*", "*"), ruleOn("*", "*")
	inCluster.Scope, inNamespaces.Scope = &cluster, &namespaced
	clusterWide := []string{"nodes", "clusterroles", "clusterrolebindings", "certificatesigningrequests"}
	for _, c := range []struct {
		why  string
		hook hook
		want []string
	}{
		{"nodes", one(nil, ruleOn("", "nodes")), []string{"nodes"}},
		{"their status, by which they report", one(nil, ruleOn("", "nodes/status")), []string{"nodes"}},
		{"leases, of which one namespace is left out", one(func(h *hook) { h.selector = without("kube-system") }, ruleOn("coordination.k8s.io", "leases")), []string{"leases"}},
		{"leases, of which both are", one(func(h *hook) { h.selector = without("kube-system", "kube-node-lease") }, ruleOn("coordination.k8s.io", "leases")), nil},
		{"pods everywhere", one(nil, ruleOn("", "pods")), []string{"pods"}},
		{"pods, but the system's", one(func(h *hook) { h.selector = without("kube-system") }, ruleOn("", "pods")), nil},
		{"pods of namespaces that say so", one(func(h *hook) { h.selector = marked }, ruleOn("", "pods")), nil},
		{"pods that say so", one(func(h *hook) { h.objects = marked }, ruleOn("", "pods")), nil},
		{"nothing is lost without its answer", one(func(h *hook) { h.failure = &ignore }, ruleOn("*", "*/*")), nil},
		{"said, what is so anyway", one(func(h *hook) { h.failure = &fail }, ruleOn("", "nodes")), []string{"nodes"}},
		{"conditions, of which nobody knows here", one(func(h *hook) { h.conditions = []admissionv1.MatchCondition{{Name: "c", Expression: "true"}} }, ruleOn("*", "*")), nil},
		{"what is deleted now and then", one(nil, deletes), nil},
		{"a selector on namespaces excludes nothing that is in none", one(func(h *hook) { h.selector = without("kube-system", "kube-node-lease") }, ruleOn("*", "*")), clusterWide},
		{"only what is in no namespace", one(nil, inCluster), clusterWide},
		{"only what is in one", one(func(h *hook) { h.selector = without("kube-system") }, inNamespaces), []string{"leases"}},
		{"kinds of its own", one(nil, ruleOn("cert-manager.io", "*")), nil},
		{"ingresses", one(nil, ruleOn("networking.k8s.io", "ingresses")), nil},
		{"subresources that the system does not write", one(nil, ruleOn("", "pods/eviction"), ruleOn("apps", "deployments/scale")), nil},
	} {
		got := c.hook.held(func(h hook) []string { return h.holds(namespaces) })
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// Webhooks are told with what has them and whether anybody answers.
func TestSystemWebhooks(t *testing.T) {
	yes, url := true, "https://example.com"
	service := func(name string) admissionv1.WebhookClientConfig {
		return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "hooks", Name: name}}
	}
	nodes := []admissionv1.RuleWithOperations{ruleOn("", "nodes")}
	found, err := cluster(t,
		&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Webhooks: []admissionv1.ValidatingWebhook{
			{Name: "up.example.com", Rules: nodes, ClientConfig: service("up")},
			{Name: "down.example.com", Rules: nodes, ClientConfig: service("down")},
			{Name: "url.example.com", Rules: nodes, ClientConfig: admissionv1.WebhookClientConfig{URL: &url}},
		}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "m"}, Webhooks: []admissionv1.MutatingWebhook{
			{Name: "own.example.com", Rules: []admissionv1.RuleWithOperations{ruleOn("example.com", "*")}, ClientConfig: service("up")},
			{Name: "pods.example.com", Rules: []admissionv1.RuleWithOperations{ruleOn("", "pods")}, ClientConfig: service("up")},
		}},
		&discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "hooks", Name: "up", Labels: map[string]string{discoveryv1.LabelServiceName: "up"}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}}},
		},
	).SystemWebhooks(t.Context(), &v1beta1.ManagedCluster{})
	if err != nil {
		t.Fatal(err)
	}
	want := []support.Webhook{
		{Name: "pods.example.com", Configuration: "m", Resources: []string{"pods"}, Inside: true},
		{Name: "down.example.com", Configuration: "v", Resources: []string{"nodes"}, Inside: true, Down: "its Service hooks/down has no ready endpoint"},
		{Name: "up.example.com", Configuration: "v", Resources: []string{"nodes"}, Inside: true},
		{Name: "url.example.com", Configuration: "v", Resources: []string{"nodes"}},
	}
	if !reflect.DeepEqual(found, want) {
		t.Errorf("found %+v", found)
	}
	away := errors.New("no control plane")
	if _, err := (Reader{Tenants: tenants{err: away}}).SystemWebhooks(t.Context(), &v1beta1.ManagedCluster{}); !errors.Is(err, away) {
		t.Errorf("error: %v", err)
	}
}

// What a stop, and the start after it, cannot do without a webhook's answer.
func TestWhatWebhooksHoldOfAStop(t *testing.T) {
	ignore, namespaced := admissionv1.Ignore, admissionv1.NamespacedScope
	of := func(group, resource string, operations ...admissionv1.OperationType) admissionv1.RuleWithOperations {
		rule := ruleOn(group, resource)
		rule.Operations = operations
		return rule
	}
	all := ruleOn("*", "*/*")
	all.Scope = &namespaced
	team := []corev1.Namespace{
		{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", Labels: map[string]string{"kubernetes.io/metadata.name": "kube-system"}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"team": "web"}}},
	}
	system := map[string]labels.Set{"kube-system": team[0].Labels}
	for _, c := range []struct {
		why  string
		hook hook
		want []string
	}{
		{"nodes are cordoned", hook{rules: []admissionv1.RuleWithOperations{of("", "nodes", admissionv1.Update)}}, []string{"nodes"}},
		{"and deleted", hook{rules: []admissionv1.RuleWithOperations{of("", "nodes", admissionv1.Delete)}}, []string{"nodes"}},
		{"a start makes roles", hook{rules: []admissionv1.RuleWithOperations{ruleOn("rbac.authorization.k8s.io", "*")}}, []string{"clusterroles", "clusterrolebindings"}},
		{"evictions", hook{rules: []admissionv1.RuleWithOperations{of("", "pods/eviction", admissionv1.Create)}}, []string{support.Evictions}},
		{"those of one team", hook{rules: []admissionv1.RuleWithOperations{ruleOn("", "pods/*")}, selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "web"}}}, []string{support.Evictions}},
		{"those of a team that is not there", hook{rules: []admissionv1.RuleWithOperations{ruleOn("", "pods/*")}, selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "db"}}}, nil},
		{"a rule on pods alone is not on evictions, and the system's pods do not hold a stop up", hook{rules: []admissionv1.RuleWithOperations{ruleOn("", "pods"), ruleOn("apps", "deployments")}}, nil},
		{"the remedy: what is in namespaces alone, without the system's", hook{rules: []admissionv1.RuleWithOperations{all}, selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "db"}}}, nil},
		{"the other remedy", hook{rules: []admissionv1.RuleWithOperations{ruleOn("*", "*")}, failure: &ignore}, nil},
	} {
		if got := c.hook.held(func(h hook) []string { return h.holdsStop(system, team) }); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	nodes := []admissionv1.RuleWithOperations{ruleOn("", "nodes")}
	found, err := cluster(t, &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Webhooks: []admissionv1.ValidatingWebhook{
		{Name: "down.example.com", Rules: nodes, ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "hooks", Name: "down"}}},
		{Name: "pods.example.com", Rules: []admissionv1.RuleWithOperations{ruleOn("", "pods")}},
	}}).StopWebhooks(t.Context(), &v1beta1.ManagedCluster{})
	if err != nil || len(found) != 1 || found[0].Name != "down.example.com" || !found[0].Inside || found[0].Down == "" {
		t.Errorf("found %+v, %v", found, err)
	}
}
