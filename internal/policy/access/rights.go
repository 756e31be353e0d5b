package access

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/clause"
)

// The names that the policy gives support's rights in a managed cluster (C7).
const (
	RoleName    = "aks-service"
	BindingName = "aks-service-rolebinding"
)

// systemNamespace holds the managed components (A6).
const systemNamespace = "kube-system"

// right is something that support may do with a scope. What no right names is refused:
// Secrets, permissions, custom resources and every change of an object have none.
type right struct {
	clause clause.ID
	scope  v1beta1.SupportScope
	group  string
	// resources are RBAC's, with their subresources; those of paths end in "*" or not.
	resources, paths []string
	verbs            []string
	// namespace limits it, notNamespace is where it does not hold, whatever else does. The
	// role cannot say so: Berth alone does.
	namespace, notNamespace string
	// own limits it to objects of managed components, as the role cannot either.
	own bool
	// below limits a proxy to what is below this path of it, as the role cannot either;
	// what is below notBelow needs the scope with as well.
	below    string
	notBelow []string
	with     v1beta1.SupportScope
}

var (
	read = []string{"get", "list", "watch"}
	// connect is both ways in which clients ask for a stream: websockets by GET, SPDY by POST.
	connect = []string{"get", "create"}
)

// rights are all of them.
var rights = []right{
	{clause: "C7", scope: v1beta1.ScopeDiagnose, verbs: []string{"get"}, paths: []string{
		"/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*", "/metrics",
	}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, verbs: read, resources: []string{
		"componentstatuses", "endpoints", "events", "limitranges", "namespaces", "nodes", "persistentvolumeclaims", "persistentvolumes",
		"pods", "pods/status", "nodes/status", "podtemplates", "replicationcontrollers", "resourcequotas", "serviceaccounts", "services",
	}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "apps", verbs: read, resources: []string{"controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "batch", verbs: read, resources: []string{"cronjobs", "jobs"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "autoscaling", verbs: read, resources: []string{"horizontalpodautoscalers"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "policy", verbs: read, resources: []string{"poddisruptionbudgets"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "networking.k8s.io", verbs: read, resources: []string{"ingressclasses", "ingresses", "networkpolicies", "servicecidrs", "ipaddresses"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "discovery.k8s.io", verbs: read, resources: []string{"endpointslices"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "storage.k8s.io", verbs: read, resources: []string{"csidrivers", "csinodes", "csistoragecapacities", "storageclasses", "volumeattachments"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "events.k8s.io", verbs: read, resources: []string{"events"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "coordination.k8s.io", verbs: read, resources: []string{"leases"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "scheduling.k8s.io", verbs: read, resources: []string{"priorityclasses"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "node.k8s.io", verbs: read, resources: []string{"runtimeclasses"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "certificates.k8s.io", verbs: read, resources: []string{"certificatesigningrequests"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "rbac.authorization.k8s.io", verbs: read, resources: []string{"clusterrolebindings", "clusterroles", "rolebindings", "roles"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "apiregistration.k8s.io", verbs: read, resources: []string{"apiservices"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "apiextensions.k8s.io", verbs: read, resources: []string{"customresourcedefinitions"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "flowcontrol.apiserver.k8s.io", verbs: read, resources: []string{"flowschemas", "prioritylevelconfigurations"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "metrics.k8s.io", verbs: read, resources: []string{"nodes", "pods"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "admissionregistration.k8s.io", verbs: read, resources: []string{
		"mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations",
		"validatingadmissionpolicies", "validatingadmissionpolicybindings", "validatingwebhookconfigurations",
	}},
	// Questions about oneself, which kubectl auth asks; they change nothing.
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "authorization.k8s.io", verbs: []string{"create"}, resources: []string{"selfsubjectaccessreviews", "selfsubjectrulesreviews"}},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, group: "authentication.k8s.io", verbs: []string{"create"}, resources: []string{"selfsubjectreviews"}},
	// One at a time: whose they are is looked up before.
	{clause: "C7", scope: v1beta1.ScopeDiagnose, verbs: []string{"get"}, resources: []string{"configmaps"}, namespace: systemNamespace, own: true},
	{clause: "C7", scope: v1beta1.ScopeDiagnose, verbs: []string{"get"}, resources: []string{"pods/log"}, namespace: systemNamespace, own: true},
	{clause: "B2", scope: v1beta1.ScopeContainerLogs, verbs: []string{"get"}, resources: []string{"pods/log"}},
	{clause: "B2", scope: v1beta1.ScopeNodeLogs, verbs: []string{"get"}, resources: []string{"nodes/proxy"}, below: "logs",
		// There a node has what its containers wrote.
		notBelow: []string{"logs/pods", "logs/containers"}, with: v1beta1.ScopeContainerLogs},
	// Managed components hold tokens, which would outlast the access.
	{clause: "B2", scope: v1beta1.ScopeExec, verbs: connect, resources: []string{"pods/exec", "pods/attach", "pods/portforward"}, notNamespace: systemNamespace},
}

// Scopes are those that there are, the narrowest first.
func Scopes() []v1beta1.SupportScope {
	return []v1beta1.SupportScope{v1beta1.ScopeDiagnose, v1beta1.ScopeContainerLogs, v1beta1.ScopeNodeLogs, v1beta1.ScopeExec}
}

// Rules are the role aks-service for some scopes. It is the outer bound: Allowed is
// narrower where RBAC cannot say what is meant.
func Rules(scopes []v1beta1.SupportScope) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for _, r := range rights {
		if !slices.Contains(scopes, r.scope) {
			continue
		}
		rule := rbacv1.PolicyRule{Verbs: slices.Clone(r.verbs)}
		if len(r.paths) > 0 {
			rule.NonResourceURLs = slices.Clone(r.paths)
		} else {
			rule.APIGroups, rule.Resources = []string{r.group}, slices.Clone(r.resources)
		}
		rules = append(rules, rule)
	}
	return rules
}

// Allowed says whether the scopes let support send a request; if not, the text says why.
func Allowed(scopes []v1beta1.SupportScope, q Request) (bool, string) {
	var wanting []string
	for _, r := range rights {
		if !r.covers(q) {
			continue
		}
		if r.notNamespace != "" && r.notNamespace == q.Namespace {
			return false, fmt.Sprintf("%s in %s is nothing that support does: the managed components there hold credentials (support policy C7)", q, q.Namespace)
		}
		missing := r.missing(q, scopes)
		if len(missing) == 0 {
			return true, ""
		}
		wanting = append(wanting, strings.Join(missing, " and "))
	}
	if len(wanting) > 0 {
		return false, fmt.Sprintf("%s needs the customer's consent to %s (support policy B2)", q, strings.Join(slices.Compact(wanting), " or "))
	}
	return false, fmt.Sprintf("%s is nothing that support does: it reads, and neither Secrets nor permissions to change are among it (support policy C7)", q)
}

// OwnOnly says whether a request that is allowed is so only where its object is a managed
// component's own (A6).
func OwnOnly(scopes []v1beta1.SupportScope, q Request) bool {
	own := false
	for _, r := range rights {
		if !r.covers(q) || len(r.missing(q, scopes)) > 0 {
			continue
		}
		if !r.own {
			return false
		}
		own = true
	}
	return own
}

// Own says whether an object of the system namespace is a managed component's, by its
// labels: a customer who gives theirs these labels shows it.
func Own(labels map[string]string) bool { return labels["kubernetes.azure.com/managedby"] == "aks" }

func (r right) covers(q Request) bool {
	if !slices.Contains(r.verbs, q.Verb) {
		return false
	}
	if q.Resource == "" || len(r.paths) > 0 {
		return q.Resource == "" && slices.ContainsFunc(r.paths, func(pattern string) bool { return covered(pattern, q.Path) })
	}
	if q.Group != r.group || !slices.Contains(r.resources, q.resource()) || r.namespace != "" && q.Namespace != r.namespace {
		return false
	}
	if r.below == "" {
		return q.Path == ""
	}
	// What is below may not become a stream: a kubelet runs commands over one.
	return !q.Upgrade && isBelow(q.Path, r.below)
}

// missing are the scopes that a request which the right covers lacks.
func (r right) missing(q Request, scopes []v1beta1.SupportScope) []string {
	needs := []v1beta1.SupportScope{r.scope}
	// With a query a kubelet may be asked for another file than its path says.
	if r.with != "" && (q.Query || slices.ContainsFunc(r.notBelow, func(path string) bool { return isBelow(q.Path, path) })) {
		needs = append(needs, r.with)
	}
	var missing []string
	for _, scope := range needs {
		if !slices.Contains(scopes, scope) {
			missing = append(missing, string(scope))
		}
	}
	return missing
}

func isBelow(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func covered(pattern, path string) bool {
	if prefix, all := strings.CutSuffix(pattern, "*"); all {
		return strings.HasPrefix(path, prefix)
	}
	return path == pattern
}
