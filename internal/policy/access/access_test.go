package access

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func at(after time.Duration) *metav1.Time { t := metav1.NewTime(now.Add(after)); return &t }

// standing is an access that nothing speaks against.
func standing() Evidence {
	id := "/subscriptions/s/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/C1"
	return Evidence{
		Access: v1beta1.SupportAccessSpec{
			Ticket: "t1", TicketID: "ticket", Cluster: v1beta1.ObjectName("rg1", "c1"), ClusterID: "id", ResourceID: id,
			Engineer: "ann", Scopes: []v1beta1.SupportScope{v1beta1.ScopeDiagnose, v1beta1.ScopeExec}, Created: *at(-time.Minute), Expires: *at(time.Hour),
		},
		Ticket: &v1beta1.SupportTicket{Spec: v1beta1.SupportTicketSpec{
			TicketID: "ticket", Status: v1beta1.TicketOpen, ResourceID: id, AdvancedDiagnosticConsent: true, Consented: at(-time.Hour),
			Consent: &v1beta1.SupportConsent{Scopes: []v1beta1.SupportScope{v1beta1.ScopeDiagnose, v1beta1.ScopeExec}, Expires: at(2 * time.Hour)},
		}},
		Cluster: &v1beta1.ManagedCluster{Spec: v1beta1.ManagedClusterSpec{ID: "id"}},
	}
}

// Every row of the table ends an access by itself, and in the order of the table.
func TestEnds(t *testing.T) {
	if end := Decide(standing(), now); end != nil {
		t.Fatalf("nothing speaks against it, and it ends: %+v", end)
	}
	cases := []struct {
		why, reason string
		change      func(*Evidence)
	}{
		{"somebody ended it by hand", "Revoked", func(e *Evidence) { e.Access.Revoked = &v1beta1.SupportRevocation{By: "bob"} }},
		{"there is no ticket", "TicketMissing", func(e *Evidence) { e.Ticket = nil }},
		{"there is another ticket of that name", "TicketMissing", func(e *Evidence) { e.Ticket.Spec.TicketID = "other" }},
		{"C7: only while a ticket is active", "TicketClosed", func(e *Evidence) { e.Ticket.Spec.Status = v1beta1.TicketClosed }},
		{"the ticket is about another cluster", "AnotherCluster", func(e *Evidence) {
			e.Ticket.Spec.ResourceID = strings.Replace(e.Ticket.Spec.ResourceID, "C1", "C2", 1)
		}},
		{"the ticket is about no cluster", "AnotherCluster", func(e *Evidence) { e.Ticket.Spec.ResourceID = "" }},
		{"the cluster is gone", "ClusterMissing", func(e *Evidence) { e.Cluster = nil }},
		{"a new cluster has the name", "ClusterMissing", func(e *Evidence) { e.Cluster.Spec.ID = "new" }},
		{"the cluster is deleted", "ClusterMissing", func(e *Evidence) { e.Cluster.DeletionTimestamp = at(0) }},
		{"C7: with the user's consent", "NoConsent", func(e *Evidence) { e.Ticket.Spec.AdvancedDiagnosticConsent = false }},
		{"a consent that was given anew is another one", "ConsentWithdrawn", func(e *Evidence) { e.Ticket.Spec.Consented = at(-time.Second) }},
		{"one that was given anew in the second of the access is another one as well", "ConsentWithdrawn", func(e *Evidence) { e.Ticket.Spec.Consented = &e.Access.Created }},
		{"the consent has an end", "ConsentExpired", func(e *Evidence) { e.Ticket.Spec.Consent.Expires = at(0) }},
		{"B2: commands need consent of their own", "ScopeNotConsented", func(e *Evidence) { e.Ticket.Spec.Consent.Scopes = e.Ticket.Spec.Consent.Scopes[:1] }},
		{"yes alone is to diagnose", "ScopeNotConsented", func(e *Evidence) { e.Ticket.Spec.Consent = nil }},
		{"it is over", "Expired", func(e *Evidence) { e.Access.Expires = *at(0) }},
		{"it has lasted as long, whatever the clock says", "Expired", func(e *Evidence) { e.Passed = time.Hour + time.Minute }},
		{"the clock is before it", "ClockWentBack", func(e *Evidence) {
			e.Access.Created, e.Access.Expires, e.Ticket.Spec.Consented = *at(time.Minute + time.Second), *at(time.Hour), at(-time.Hour)
		}},
	}
	met := map[string]bool{}
	for _, c := range cases {
		e := standing()
		c.change(&e)
		end := Decide(e, now)
		if end == nil || end.Reason != c.reason || end.Message == "" {
			t.Errorf("%s: %+v, want %s", c.why, end, c.reason)
			continue
		}
		met[end.Reason] = true
	}
	for _, r := range table {
		if !met[r.reason] {
			t.Errorf("no case meets the row %s", r.reason)
		}
	}
}

// Who consents and has somebody look in the same second has given an access that stands;
// who withdraws and consents again in that second has ended it.
func TestFrom(t *testing.T) {
	e := standing()
	e.Ticket.Spec.Consented = at(0)
	e.Access.Created = metav1.NewTime(From(e.Ticket, now.Add(300*time.Millisecond)))
	if end := Decide(e, now.Add(400*time.Millisecond)); end != nil {
		t.Errorf("an access that was given with the consent: %+v", end)
	}
	e.Ticket.Spec.Consented = &e.Access.Created
	if end := Decide(e, now.Add(time.Second)); end == nil || end.Reason != "ConsentWithdrawn" {
		t.Errorf("a consent that was given anew: %+v", end)
	}
	e.Ticket.Spec.Consented = nil
	if from := From(e.Ticket, now.Add(300*time.Millisecond)); !from.Equal(now) {
		t.Errorf("without a time of the consent it begins at %s", from)
	}
}

// An access lasts for the time that is seen to pass, wherever its clock goes.
func TestCountStanding(t *testing.T) {
	var status v1beta1.SupportAccessStatus
	for _, step := range []struct {
		after   time.Duration // since the first look
		elapsed time.Duration
		write   bool
	}{
		{0, 0, true},
		{30 * time.Second, 0, false},
		{time.Minute, time.Minute, true},
		{-time.Hour, time.Minute, true}, // it went back
		{-time.Hour + 90*time.Second, 2*time.Minute + 30*time.Second, true},
		{24 * time.Hour, 4*time.Minute + 30*time.Second, true}, // and forward
	} {
		var write bool
		status, write = CountStanding(status, now.Add(step.after))
		if status.Elapsed.Duration != step.elapsed || write != step.write {
			t.Errorf("at %s: %s (write: %v), want %s (%v)", step.after, status.Elapsed.Duration, write, step.elapsed, step.write)
		}
	}
}

// Whatever else happens, one thing that ends an access ends it.
func TestEndsAddUp(t *testing.T) {
	for i := range 1 << 6 {
		e := standing()
		changes := []func(){
			func() { e.Ticket.Spec.Status = v1beta1.TicketClosed }, func() { e.Cluster = nil }, func() { e.Ticket.Spec.AdvancedDiagnosticConsent = false },
			func() { e.Ticket.Spec.Consent = nil }, func() { e.Access.Expires = *at(-time.Second) }, func() { e.Ticket.Spec.Consented = at(0) },
		}
		for bit, change := range changes {
			if i&(1<<bit) != 0 {
				change()
			}
		}
		if (Decide(e, now) == nil) != (i == 0) {
			t.Errorf("mixture %06b: %+v", i, Decide(e, now))
		}
	}
}

// What makes a consent another one: what ended with the one before stays ended.
func TestRenews(t *testing.T) {
	narrow, wide := []v1beta1.SupportScope{v1beta1.ScopeDiagnose}, []v1beta1.SupportScope{v1beta1.ScopeDiagnose, v1beta1.ScopeExec}
	for _, c := range []struct {
		why    string
		before v1beta1.SupportTicketSpec
		scopes []v1beta1.SupportScope
		want   bool
	}{
		{"none before", v1beta1.SupportTicketSpec{}, narrow, true},
		{"the same", v1beta1.SupportTicketSpec{AdvancedDiagnosticConsent: true, Consent: &v1beta1.SupportConsent{Scopes: wide}}, wide, false},
		{"narrower", v1beta1.SupportTicketSpec{AdvancedDiagnosticConsent: true, Consent: &v1beta1.SupportConsent{Scopes: wide}}, narrow, false},
		{"before its end", v1beta1.SupportTicketSpec{AdvancedDiagnosticConsent: true, Consent: &v1beta1.SupportConsent{Scopes: narrow, Expires: at(1)}}, narrow, false},
		{"after its end", v1beta1.SupportTicketSpec{AdvancedDiagnosticConsent: true, Consent: &v1beta1.SupportConsent{Scopes: narrow, Expires: at(0)}}, narrow, true},
		{"wider", v1beta1.SupportTicketSpec{AdvancedDiagnosticConsent: true, Consent: &v1beta1.SupportConsent{Scopes: narrow}}, wide, true},
		{"yes alone is to diagnose", v1beta1.SupportTicketSpec{AdvancedDiagnosticConsent: true}, narrow, false},
		{"yes alone is to no more", v1beta1.SupportTicketSpec{AdvancedDiagnosticConsent: true}, wide, true},
	} {
		if got := Renews(&v1beta1.SupportTicket{Spec: c.before}, c.scopes, now); got != c.want {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

func TestUntil(t *testing.T) {
	e := standing()
	if got := Until(e); !got.Equal(now.Add(time.Hour)) {
		t.Errorf("until %s", got)
	}
	e.Ticket.Spec.Consent.Expires = at(time.Minute)
	if got := Until(e); !got.Equal(now.Add(time.Minute)) {
		t.Errorf("the consent ends before the access: until %s", got)
	}
}

func parse(t *testing.T, method, target string) (Request, bool) {
	t.Helper()
	parsed, err := url.ParseRequestURI(target)
	if err != nil {
		return Request{}, false
	}
	return ParseRequest(method, parsed, strings.HasSuffix(target, "#upgrade"))
}

// What each scope lets support do. A row says which of the scopes it needs; "" is none.
func TestRights(t *testing.T) {
	const none = v1beta1.SupportScope("")
	for _, c := range []struct {
		method, target string
		needs          v1beta1.SupportScope
		why            string
	}{
		{"GET", "/api/v1/pods", v1beta1.ScopeDiagnose, "workloads are read"},
		{"GET", "/api/v1/pods?watch=true", v1beta1.ScopeDiagnose, "and watched"},
		{"GET", "/api/v1/namespaces/a/pods/b", v1beta1.ScopeDiagnose, "one of them"},
		{"GET", "/apis/apps/v1/namespaces/a/deployments", v1beta1.ScopeDiagnose, "in a group"},
		{"GET", "/api/v1/nodes", v1beta1.ScopeDiagnose, "nodes"},
		{"GET", "/api/v1/namespaces/a", v1beta1.ScopeDiagnose, "a namespace"},
		{"GET", "/version", v1beta1.ScopeDiagnose, "what kubectl asks first"},
		{"GET", "/apis/apps/v1", v1beta1.ScopeDiagnose, "discovery"},
		{"GET", "/openapi/v3/apis/apps/v1", v1beta1.ScopeDiagnose, "what kubectl explain reads"},
		{"GET", "/livez/etcd", v1beta1.ScopeDiagnose, "health"},
		{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", v1beta1.ScopeDiagnose, "kubectl auth can-i"},
		{"GET", "/api/v1/namespaces/kube-system/pods/coredns/log", v1beta1.ScopeDiagnose, "logs of managed components"},
		{"GET", "/api/v1/namespaces/kube-system/configmaps/coredns", v1beta1.ScopeDiagnose, "the Corefile"},
		{"GET", "/api/v1/namespaces/kube-system/configmaps", none, "not all of them: the customer's are there too"},
		{"GET", "/api/v1/namespaces/kube-system/configmaps?watch=true", none, "nor watched"},
		{"GET", "/api/v1/namespaces/a/pods/b/log", v1beta1.ScopeContainerLogs, "logs of the customer's are the customer's"},
		{"GET", "/api/v1/nodes/n/proxy/logs/", v1beta1.ScopeNodeLogs, "B2: logs of nodes"},
		{"GET", "/api/v1/nodes/n/proxy/logs/syslog", v1beta1.ScopeNodeLogs, "B2: one of them"},
		{"POST", "/api/v1/namespaces/a/pods/b/exec?command=id", v1beta1.ScopeExec, "B2: a command"},
		{"GET", "/api/v1/namespaces/a/pods/b/exec?command=id", v1beta1.ScopeExec, "by websocket"},
		{"GET", "/api/v1/namespaces/a/pods/b/portforward", v1beta1.ScopeExec, "a port"},
		{"GET", "/api/v1/nodes/n/proxy/logs/podsx", v1beta1.ScopeNodeLogs, "which is no container's"},

		{"GET", "/api/v1/secrets", none, "C7: never Secrets"},
		{"GET", "/api/v1/namespaces/kube-system/secrets/s", none, "nor the service's own"},
		{"GET", "/api/v1/namespaces/a/configmaps", none, "the customer's configuration has credentials in it"},
		{"GET", "/api/v1/configmaps", none, "nor all of them, with the system's"},
		{"GET", "/apis/example.com/v1/widgets", none, "custom resources may be anything"},
		{"POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", none, "C7: no binding"},
		{"PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/aks-service", none, "C7: not its own role"},
		{"POST", "/api/v1/namespaces/a/serviceaccounts/b/token", none, "who has a token is somebody else"},
		{"POST", "/api/v1/namespaces/a/pods", none, "a pod may be anything"},
		{"PATCH", "/api/v1/namespaces/a/pods/b/ephemeralcontainers", none, "kubectl debug"},
		{"DELETE", "/api/v1/namespaces/a/pods/b", none, "nothing is changed"},
		{"DELETE", "/api/v1/namespaces/a/pods", none, "nor all of it"},
		{"POST", "/api/v1/namespaces/a/pods/b/eviction", none, "nor drained"},
		{"POST", "/api/v1/namespaces/kube-system/pods/kube-proxy/exec?command=cat", none, "a managed component's token outlasts the access"},
		{"GET", "/api/v1/namespaces/kube-system/pods/kube-proxy/exec?command=cat", none, "by websocket"},
		{"POST", "/api/v1/namespaces/kube-system/pods/kube-proxy/attach", none, "nor its input"},
		{"GET", "/api/v1/namespaces/kube-system/pods/kube-proxy/portforward", none, "nor its ports"},
		{"GET", "/api/v1/nodes/n/proxy/logs/pods", none, "logs of containers need consent of their own, by a node as well"},
		{"GET", "/api/v1/nodes/n/proxy/logs/pods/a_b_c/app/0.log", none, "one of them"},
		{"GET", "/api/v1/nodes/n/proxy/logs/containers/", none, "by their other name"},
		{"GET", "/api/v1/nodes/n/proxy/logs/?query=/pods/a_b_c/app/0.log", none, "as a query"},
		{"GET", "/api/v1/nodes/n/proxy/pods", none, "the kubelet's API has more than logs"},
		{"GET", "/api/v1/nodes/n/proxy/exec/a/b/c", none, "and runs commands"},
		{"GET", "/api/v1/nodes/n/proxy/logsx", none, "which only begins so"},
		{"GET", "/api/v1/nodes/n/proxy", none, "its root"},
		{"POST", "/api/v1/nodes/n/proxy/logs/x", none, "logs are read"},
		{"GET", "/api/v1/namespaces/a/services/b/proxy/admin", none, "a customer's service is the customer's"},
		{"GET", "/debug/pprof/", none, "the API server's own innards"},
		{"GET", "/logs/", none, "the API server's own logs"},
	} {
		request, ok := parse(t, c.method, c.target)
		if !ok {
			t.Errorf("%s %s is not read", c.method, c.target)
			continue
		}
		for _, scope := range Scopes() {
			got, why := Allowed([]v1beta1.SupportScope{scope}, request)
			want := scope == c.needs || scope == v1beta1.ScopeContainerLogs && c.needs == v1beta1.ScopeDiagnose && strings.HasSuffix(c.target, "/log")
			if got != want {
				t.Errorf("%s: %s %s (%s) with %s is %v, want %v", c.why, c.method, c.target, request, scope, got, want)
			}
			if !got && !strings.Contains(why, "support policy") {
				t.Errorf("%s %s: the refusal %q cites no clause", c.method, c.target, why)
			}
		}
	}
	for _, target := range []string{"pods/a_b_c/app/0.log", "containers/", "?query=kubelet"} {
		request, _ := parse(t, http.MethodGet, "/api/v1/nodes/n/proxy/logs/"+target)
		if ok, why := Allowed([]v1beta1.SupportScope{v1beta1.ScopeNodeLogs, v1beta1.ScopeContainerLogs}, request); !ok {
			t.Errorf("%s with both consents: %s", target, why)
		}
		if _, why := Allowed([]v1beta1.SupportScope{v1beta1.ScopeNodeLogs}, request); !strings.Contains(why, "consent to ContainerLogs") {
			t.Errorf("%s without the one: %s", target, why)
		}
	}
	if ok, _ := Allowed(Scopes(), Request{Verb: "get", Resource: "nodes", Subresource: "proxy", Name: "n", Path: "logs", Upgrade: true}); ok {
		t.Error("logs of a node become a stream, over which a kubelet runs commands")
	}
}

// What an API server might read in another way is not let through.
func TestAmbiguousRequests(t *testing.T) {
	for target, why := range map[string]string{
		"/api/v1/nodes/n/proxy/logs/../exec/a":   "a step up",
		"/api/v1/nodes/n/proxy/logs/%2e%2e/exec": "one that is encoded",
		"/api/v1/pods/..%2fsecrets":              "a slash that is",
		"/api//v1/secrets":                       "an empty segment",
		"//api/v1/secrets":                       "at the start",
		"/api/v1/watch/secrets":                  "the older form of a watch",
		"/api/v1/proxy/nodes/n/run":              "the older form of a proxy",
		"/api/v1/namespaces/a/pods/b/log/c":      "more than a subresource",
		"/api/v1/pods/":                          "a slash at the end",
		"/api/v1/nodes/n:8080/proxy/logs/x":      "another port of a node",
		"/api/v1/nodes/http:n:8080/proxy/logs/x": "and another scheme",
		"/api/v1/nodes/https:n:/proxy/logs/x":    "a scheme alone",
		`/api/v1/pods;x/b`:                       "a parameter",
	} {
		if request, ok := parse(t, http.MethodGet, target); ok {
			t.Errorf("%s: %s is read as %s", why, target, request)
		}
	}
	if _, ok := parse(t, "CONNECT", "/api/v1/nodes/n"); ok {
		t.Error("a method that is none of an API server's is read")
	}
}

// Whatever a request is, none that is let through is for a Secret, changes an object or
// speaks of another path than was read.
func FuzzParseRequest(f *testing.F) {
	f.Add("GET", "/api/v1/namespaces/a/pods/b/log")
	f.Add("GET", "/api/v1/nodes/n/proxy/logs/x")
	f.Add("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
	f.Fuzz(func(t *testing.T, method, target string) {
		request, ok := parse(t, method, target)
		if !ok {
			return
		}
		if allowed, _ := Allowed(Scopes(), request); !allowed {
			return
		}
		if request.Resource == "secrets" || slices.Contains([]string{"update", "patch", "delete", "deletecollection"}, request.Verb) ||
			strings.Contains(target, "..") && !strings.Contains(target, "?") {
			t.Errorf("%s %q is let through as %+v", method, target, request)
		}
	})
}

// The role has no right that could become another one, whatever the customer consents to.
func TestRoleIsBounded(t *testing.T) {
	for _, rule := range Rules(Scopes()) {
		if len(rule.NonResourceURLs) > 0 {
			continue
		}
		for _, resource := range rule.Resources {
			changes := slices.ContainsFunc(rule.Verbs, func(verb string) bool { return !slices.Contains(read, verb) })
			asksOfItself := strings.HasPrefix(resource, "selfsubject")
			stream := slices.Contains([]string{"pods/exec", "pods/attach", "pods/portforward"}, resource)
			if resource == "secrets" || resource == "*" || strings.Contains(resource, "token") || changes && !asksOfItself && !stream {
				t.Errorf("%v may %v %s", rule.APIGroups, rule.Verbs, resource)
			}
		}
	}
	for _, rule := range Rules([]v1beta1.SupportScope{v1beta1.ScopeDiagnose}) {
		if slices.ContainsFunc(rule.Resources, func(r string) bool { return strings.Contains(r, "exec") || strings.Contains(r, "proxy") }) {
			t.Errorf("to diagnose has %v", rule.Resources)
		}
	}
}

// What Allowed lets through, the role lets through too: the two cannot contradict.
func TestRoleCoversRights(t *testing.T) {
	rules := Rules(Scopes())
	for _, r := range rights {
		for _, resource := range r.resources {
			if !slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool {
				return slices.Contains(rule.APIGroups, r.group) && slices.Contains(rule.Resources, resource) && slices.Equal(rule.Verbs, r.verbs)
			}) {
				t.Errorf("the role lacks %s of %q", resource, r.group)
			}
		}
	}
}

// A clock that leaps removes no record before its time.
func TestRecordIsKept(t *testing.T) {
	plan := Plans(v1beta1.ServicePolicySpec{})
	status := Count(v1beta1.SupportAccessStatus{Ended: at(0)}, now)
	status = Count(status, now.Add(400*24*time.Hour))
	if due, wait := plan.Due(status); due || wait != Look {
		t.Errorf("after one leap of 400 days: due %v, look again after %s", due, wait)
	}
	status.Elapsed.Duration = DefaultRetention
	if due, _ := plan.Due(status); !due {
		t.Error("after 90 days it is still kept")
	}
	short := Plans(v1beta1.ServicePolicySpec{SupportAccess: &v1beta1.SupportAccessPolicy{Retention: &metav1.Duration{Duration: -1}, MaxDuration: &metav1.Duration{Duration: time.Minute}}})
	if short.Retention != DefaultRetention || short.MaxDuration != time.Minute {
		t.Errorf("figures: %+v", short)
	}
}

// With the narrowest scope, what may be the customer's is looked at in kube-system before
// it is read; consent to the logs of containers is consent to all of these.
func TestOwnOnly(t *testing.T) {
	for _, c := range []struct {
		target string
		scopes []v1beta1.SupportScope
		want   bool
	}{
		{"/api/v1/namespaces/kube-system/pods/p/log", []v1beta1.SupportScope{v1beta1.ScopeDiagnose}, true},
		{"/api/v1/namespaces/kube-system/pods/p/log", []v1beta1.SupportScope{v1beta1.ScopeDiagnose, v1beta1.ScopeContainerLogs}, false},
		{"/api/v1/namespaces/kube-system/configmaps/coredns", Scopes(), true},
		{"/api/v1/namespaces/kube-system/pods/p", Scopes(), false},
		{"/api/v1/pods", Scopes(), false},
		{"/api/v1/namespaces/kube-system/secrets/s", Scopes(), false},
	} {
		request, ok := parse(t, http.MethodGet, c.target)
		if got := OwnOnly(c.scopes, request); !ok || got != c.want {
			t.Errorf("%s with %v: %v, want %v", c.target, c.scopes, got, c.want)
		}
	}
	if Own(nil) || Own(map[string]string{"kubernetes.azure.com/managedby": "me"}) || !Own(map[string]string{"kubernetes.azure.com/managedby": "aks"}) {
		t.Error("whose an object is")
	}
}
