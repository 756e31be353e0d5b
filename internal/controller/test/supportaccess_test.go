package test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/access"
)

// TestSupportAccess goes over just-in-time access (C7, B2, X5), in one cluster: an
// engineer with a real client, a real API server that checks rights, and its audit log.
func TestSupportAccess(t *testing.T) {
	d := newDesk(t)
	d.start(d.nextGuard())
	d.create()
	for _, part := range []struct {
		name string
		run  func(*desk)
	}{
		{"without consent there is none", noConsentNoAccess},
		{"it diagnoses, and no more", diagnoses},
		{"a withdrawal ends it at once", withdrawalEnds},
		{"so do closing, revoking and the clock", otherEnds},
		{"commands need their own consent", commandsNeedConsent},
		{"nobody else makes, keeps or widens the rights", rightsAreSupports},
		{"what was done can be read back", readBack},
		{"a record goes when it is not kept any longer", recordGoes},
	} {
		if !t.Run(part.name, func(sub *testing.T) {
			d.t = sub
			defer func() { d.t = t }()
			part.run(d)
		}) {
			break
		}
	}
	d.delete()
	d.checkGone()
}

const (
	accessOne   = "aaaaaaaa-0000-4000-8000-000000000001"
	accessTwo   = "aaaaaaaa-0000-4000-8000-000000000002"
	accessThree = "aaaaaaaa-0000-4000-8000-000000000003"
	accessFour  = "aaaaaaaa-0000-4000-8000-000000000004"
	accessFive  = "aaaaaaaa-0000-4000-8000-000000000005"
	accessSix   = "aaaaaaaa-0000-4000-8000-000000000006"
)

func noConsentNoAccess(d *desk) {
	d.ticket("t1")
	reason := `{"properties": {"reason": "x"}}`
	if status, got := d.ask(deskEngineer, "PUT", "t1/accesses/"+accessOne, reason); status != http.StatusForbidden || !strings.Contains(fmt.Sprint(got), "C7") {
		d.t.Errorf("an access without consent: %d %v", status, got)
	}
	if status, _ := d.ask(deskCustomer, "PUT", "t1/accesses/"+accessOne, reason); status != http.StatusForbidden {
		d.t.Errorf("a customer asks for support's access: %d", status)
	}
	if status, _ := d.ask(deskEngineer, "PUT", "t1/accessConsent", `{"properties": {"scopes": ["Exec"]}}`); status != http.StatusForbidden {
		d.t.Errorf("an engineer consents for the customer: %d", status)
	}
	if status, _ := d.ask(deskEngineer, "PATCH", "t1", `{"advancedDiagnosticConsent": "Yes"}`); status != http.StatusForbidden {
		d.t.Errorf("an engineer consents on the ticket: %d", status)
	}
	if role, binding := d.rightsAre(); role || binding {
		d.t.Error("rights without an access")
	}
}

func diagnoses(d *desk) {
	ctx := d.t.Context()
	d.bring(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "customers"}, StringData: map[string]string{"password": "x"}})
	d.bringApp()
	// Whoever binds everybody to everything opens nothing to support.
	d.bring(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "careless"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:authenticated"}},
	})
	d.must(deskCustomer, "PUT", "t1/accessConsent", `{"properties": {"scopes": ["Diagnose"]}}`)
	engineer := d.access("t1", accessOne, `"Diagnose"`)
	pods, err := engineer.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if err != nil || len(pods.Items) != 1 {
		d.t.Errorf("pods: %v", err)
	}
	if _, err := engineer.CoreV1().Nodes().Get(ctx, d.node().Name, metav1.GetOptions{}); err != nil {
		d.t.Errorf("a node: %v", err)
	}
	if _, err := engineer.Discovery().ServerVersion(); err != nil {
		d.t.Errorf("the version: %v", err)
	}
	logs := func(namespace, pod string) error {
		return engineer.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{}).Do(ctx).Error()
	}
	d.bringToSystem()
	customersLog, systemsLog, guestsLog := logs("default", "app"), logs("kube-system", "managed"), logs("kube-system", "guest")
	if apierrors.IsForbidden(systemsLog) {
		d.t.Errorf("logs of a managed component: %v", systemsLog)
	}
	if _, err := engineer.CoreV1().ConfigMaps("kube-system").Get(ctx, "managed", metav1.GetOptions{}); err != nil {
		d.t.Errorf("configuration of a managed component: %v", err)
	}
	_, guestsConfig := engineer.CoreV1().ConfigMaps("kube-system").Get(ctx, "guest", metav1.GetOptions{})
	_, allConfig := engineer.CoreV1().ConfigMaps("kube-system").List(ctx, metav1.ListOptions{})
	_, secrets := engineer.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
	_, secret := engineer.CoreV1().Secrets("default").Get(ctx, "customers", metav1.GetOptions{})
	_, binding := engineer.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}}, metav1.CreateOptions{})
	_, account := engineer.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", nil, metav1.CreateOptions{})
	config := d.engineerConfig("t1", accessOne) // which makes the first credential void
	config.Impersonate = rest.ImpersonationConfig{UserName: "admin", Groups: []string{"system:masters"}}
	boss, err := kubernetes.NewForConfig(config)
	if err != nil {
		d.t.Fatal(err)
	}
	_, impersonated := boss.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
	_, void := engineer.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	for why, c := range map[string]struct {
		err error
		is  func(error) bool
	}{
		"all Secrets": {secrets, apierrors.IsForbidden}, "a Secret": {secret, apierrors.IsForbidden}, "a binding": {binding, apierrors.IsForbidden},
		"an account's token": {account, apierrors.IsForbidden}, "Secrets as somebody else": {impersonated, apierrors.IsForbidden},
		"logs of the customer's pod":     {customersLog, apierrors.IsForbidden},
		"logs of one in kube-system":     {guestsLog, apierrors.IsForbidden},
		"configuration of theirs there":  {guestsConfig, apierrors.IsForbidden},
		"all configuration there":        {allConfig, apierrors.IsForbidden},
		"a credential that was replaced": {void, apierrors.IsUnauthorized},
	} {
		if !c.is(c.err) {
			d.t.Errorf("%s: %v", why, c.err)
		}
	}
	if status := d.exec(config, "app"); status != http.StatusForbidden {
		d.t.Errorf("a command: %d", status)
	}
	if err := d.client.Delete(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "careless"}}); err != nil {
		d.t.Fatal(err)
	}
}

// bringToSystem makes pods and configuration in kube-system: a managed component's, and the
// customer's.
func (d *desk) bringToSystem() {
	d.t.Helper()
	for name, labels := range map[string]map[string]string{"managed": {"kubernetes.azure.com/managedby": "aks"}, "guest": {"app": "guest"}} {
		meta := metav1.ObjectMeta{Namespace: "kube-system", Name: name, Labels: labels}
		d.bring(&corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{NodeName: d.node().Name, Containers: []corev1.Container{{Name: "app", Image: "app"}}}})
		d.bring(&corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"password": "x"}})
	}
}

// bringApp makes a pod of the customer's.
func (d *desk) bringApp() {
	d.t.Helper()
	d.bring(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "app"}, Spec: corev1.PodSpec{
		NodeName: d.node().Name, Containers: []corev1.Container{{Name: "app", Image: "app"}},
	}})
}

// exec asks for a command as kubectl does, and returns the status of the answer.
func (d *desk) exec(config *rest.Config, pod string) int {
	d.t.Helper()
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{}
	config.NextProtos = []string{"http/1.1"}
	through, err := rest.HTTPClientFor(config)
	if err != nil {
		d.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, config.Host+"/api/v1/namespaces/default/pods/"+pod+"/exec?command=id&stdout=true", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}, "X-Stream-Protocol-Version": {"v4.channel.k8s.io"}}
	answer, err := through.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

func withdrawalEnds(d *desk) {
	ctx := d.t.Context()
	engineer := d.engineer("t1", accessOne)
	watching, err := engineer.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	defer watching.Stop()
	d.bringApp()
	<-watching.ResultChan() // the stream runs
	started := time.Now()
	d.must(deskCustomer, "DELETE", "t1/accessConsent", "")
	if _, err := engineer.CoreV1().Pods("").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		d.t.Errorf("a request right after the withdrawal: %v", err)
	}
	for range watching.ResultChan() {
	}
	d.t.Logf("the watch was cut after %s", time.Since(started).Round(time.Millisecond))
	if took := time.Since(started); took > 10*time.Second {
		d.t.Errorf("the watch went on for %s", took)
	}
	d.untilNoRights("the withdrawal takes the rights")
	d.eventually("the access has ended", func() bool { s := d.state(accessOne).Status; return s.Reason == "NoConsent" && s.Removed != nil })
	d.must(deskCustomer, "PUT", "t1/accessConsent", `{"properties": {"scopes": ["Diagnose"]}}`)
	if _, err := engineer.CoreV1().Pods("").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		d.t.Errorf("another consent brings an access back: %v", err)
	}
	if status, _ := d.ask(deskEngineer, "POST", "t1/accesses/"+accessOne+"/listCredentials", ""); status != http.StatusConflict {
		d.t.Errorf("credentials of an access that has ended: %d", status)
	}
}

func otherEnds(d *desk) {
	d.access("t1", accessTwo, `"Diagnose"`)
	d.must(deskCustomer, "POST", "t1/accesses/"+accessTwo+"/revoke", "")
	d.untilNoRights("revoking takes the rights")
	if got := d.must(deskCustomer, "GET", "t1/accesses/"+accessTwo, "")["properties"].(map[string]any); got["endReason"] != "Revoked" && got["state"] != "Ending" {
		d.t.Errorf("a revoked access: %v", got)
	}
	engineer := d.access("t1", accessThree, `"Diagnose"`)
	d.must(deskCustomer, "PATCH", "t1", `{"status": "closed"}`)
	if _, err := engineer.CoreV1().Pods("").List(d.t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		d.t.Errorf("a request after the ticket was closed: %v", err)
	}
	d.untilNoRights("closing takes the rights")
	d.must(deskCustomer, "PATCH", "t1", `{"status": "open"}`)
	if _, err := engineer.CoreV1().Pods("").List(d.t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		d.t.Errorf("opening a ticket again brings an access back: %v", err)
	}
	d.servicePolicy(v1beta1.ServicePolicySpec{SupportAccess: &v1beta1.SupportAccessPolicy{MaxDuration: &metav1.Duration{Duration: 10 * time.Second}}})
	engineer = d.access("t1", accessFour, `"Diagnose"`)
	var watching watch.Interface
	d.eventually("a watch", func() bool { // an API server takes a moment to know of new rights
		var err error
		watching, err = engineer.CoreV1().Pods("").Watch(d.t.Context(), metav1.ListOptions{})
		return err == nil
	})
	for range watching.ResultChan() {
	}
	if early := time.Until(d.state(accessFour).Spec.Expires.Time); early > time.Second {
		d.t.Errorf("the watch ended %s before the access", early)
	}
	d.untilNoRights("the clock takes the rights")
	d.eventually("the clock ends the access", func() bool { return d.state(accessFour).Status.Reason == "Expired" })
	if status, _ := d.ask(deskEngineer, "PUT", "t1/accesses/"+accessFive, `{"properties": {"reason": "x", "durationInMinutes": 1}}`); status != http.StatusBadRequest {
		d.t.Errorf("an access for longer than ServicePolicy lets: %d", status)
	}
	d.servicePolicy(v1beta1.ServicePolicySpec{})
}

func commandsNeedConsent(d *desk) {
	if status, got := d.ask(deskEngineer, "PUT", "t1/accesses/"+accessFive, `{"properties": {"scopes": ["Exec"], "reason": "x"}}`); status != http.StatusForbidden || !strings.Contains(fmt.Sprint(got), "B2") {
		d.t.Errorf("commands without consent to them: %d %v", status, got)
	}
	d.must(deskCustomer, "PUT", "t1/accessConsent", `{"properties": {"scopes": ["Diagnose", "Exec"]}}`)
	d.access("t1", accessFive, `"Diagnose", "Exec"`)
	config := d.engineerConfig("t1", accessFive)
	// There is no kubelet here: that the API server looks for one is what it is about.
	d.bring(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "unplaced"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}}})
	// It takes a moment to know of new rights.
	d.eventually("a command with consent", func() bool { return d.exec(config, "unplaced") == http.StatusBadRequest })
	d.must(deskCustomer, "PUT", "t1/accessConsent", `{"properties": {"scopes": ["Diagnose"]}}`)
	d.untilNoRights("a narrower consent ends what goes further")
	d.eventually("and says why", func() bool { return d.state(accessFive).Status.Reason == "ScopeNotConsented" })
}

func rightsAreSupports(d *desk) {
	ctx := d.t.Context()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: access.RoleName}}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: access.BindingName}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}}
	for _, object := range []client.Object{role, binding} {
		if err := d.client.Create(ctx, object.DeepCopyObject().(client.Object)); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "C7") {
			d.t.Errorf("a customer makes %s: %v", object.GetName(), err)
		}
		// As if the policy had been away for a moment.
		if err := d.platform.Create(ctx, object.DeepCopyObject().(client.Object)); err != nil {
			d.t.Fatal(err)
		}
	}
	d.untilNoRights("what somebody made is removed")
	d.access("t1", accessSix, `"Diagnose"`)
	wide := rbacv1.PolicyRule{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}
	made := d.get(&rbacv1.ClusterRole{}, client.ObjectKey{Name: access.RoleName}).(*rbacv1.ClusterRole)
	made.Rules = append(made.Rules, wide)
	if err := d.client.Update(ctx, made); !apierrors.IsForbidden(err) {
		d.t.Errorf("a customer widens the role: %v", err)
	}
	bound := d.get(&rbacv1.ClusterRoleBinding{}, client.ObjectKey{Name: access.BindingName}).(*rbacv1.ClusterRoleBinding)
	if want := "aks-service:" + deskEngineer + ":" + accessSix; len(bound.Subjects) != 1 || bound.Subjects[0].Name != want {
		d.t.Errorf("subjects %+v, want %s alone", bound.Subjects, want)
	}
	if err := d.client.Delete(ctx, bound.DeepCopy()); !apierrors.IsForbidden(err) {
		d.t.Errorf("a customer removes the binding: %v", err)
	}
	if err := d.platform.Update(ctx, made); err != nil {
		d.t.Fatal(err)
	}
	bound.Subjects = append(bound.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: "mallory"})
	if err := d.platform.Update(ctx, bound); err != nil {
		d.t.Fatal(err)
	}
	d.eventually("what was widened is put back", func() bool {
		role := d.get(&rbacv1.ClusterRole{}, client.ObjectKey{Name: access.RoleName}).(*rbacv1.ClusterRole)
		binding := d.get(&rbacv1.ClusterRoleBinding{}, client.ObjectKey{Name: access.BindingName}).(*rbacv1.ClusterRoleBinding)
		return len(role.Rules) == len(made.Rules)-1 && len(binding.Subjects) == 1
	})
	d.must(deskEngineer, "POST", "t1/accesses/"+accessSix+"/revoke", "")
	d.untilNoRights("the last access takes the rights along")
}

// readBack holds the record to what the other tests did, and the API server's audit log to the record.
func readBack(d *desk) {
	var requests []any
	d.eventually("the ends are recorded", func() bool {
		requests = d.must(deskCustomer, "GET", "t1/accesses/"+accessOne+"/requests", "")["value"].([]any)
		for _, one := range requests {
			if one.(map[string]any)["properties"].(map[string]any)["ended"] == nil {
				return false
			}
		}
		return true
	})
	seen := map[string]string{}
	var listed, id string
	for _, one := range requests {
		p := one.(map[string]any)["properties"].(map[string]any)
		what := fmt.Sprint(p["verb"], " ", p["resource"])
		if seen[what] == "200" {
			continue // the same was refused after the end, which is recorded as well
		}
		seen[what] = fmt.Sprint(p["code"])
		if p["engineer"] != deskEngineer || p["sourceIp"] != "127.0.0.1" {
			d.t.Errorf("%s is not told of the engineer: %v", what, p)
		}
		if what == "list pods" {
			listed, id = fmt.Sprint(p["uri"]), fmt.Sprint(one.(map[string]any)["name"])
		}
	}
	for what, code := range map[string]string{
		"list pods": "200", "watch pods": "200", "list secrets": "403", "get secrets": "403", "create clusterrolebindings.rbac.authorization.k8s.io": "403",
		"create pods/exec": "403", "create serviceaccounts/token": "403",
	} {
		if seen[what] != code {
			d.t.Errorf("%s: %q in the record, want %s; all: %v", what, seen[what], code, seen)
		}
	}
	raw, err := os.ReadFile(shared.Env(d.t).AuditLog())
	if err != nil {
		d.t.Fatal(err)
	}
	user := "aks-service:" + deskEngineer + ":" + accessOne
	line := ""
	for one := range bytes.Lines(raw) {
		if bytes.Contains(one, []byte(id)) {
			line = string(one)
		}
		if bytes.Contains(one, []byte(`"resource":"secrets"`)) && bytes.Contains(one, []byte("aks-service:")) {
			d.t.Errorf("a request for Secrets reached the API server: %s", one)
		}
	}
	if !strings.Contains(line, user) || !strings.Contains(line, `"verb":"list"`) {
		d.t.Errorf("the audit log has %q of %s, request %s", line, listed, id)
	}
}

func recordGoes(d *desk) {
	d.servicePolicy(v1beta1.ServicePolicySpec{SupportAccess: &v1beta1.SupportAccessPolicy{Retention: &metav1.Duration{Duration: 2 * time.Second}}})
	d.changeAll() // an ended access is looked at again in its own time only
	d.eventually("the accesses go", func() bool { return d.count(&v1beta1.SupportAccessList{}, d.namespace) == 0 })
	d.eventually("and their records", func() bool { return d.count(&v1beta1.SupportAccessRecordList{}, d.namespace) == 0 })
	d.servicePolicy(v1beta1.ServicePolicySpec{})
}

// changeAll lets the clock of kept accesses go on, and has each looked at.
func (d *desk) changeAll() {
	d.t.Helper()
	d.ahead.Add(int64(time.Minute))
	d.t.Cleanup(func() { d.ahead.Add(-int64(time.Minute)) })
	var list v1beta1.SupportAccessList
	if err := d.client.List(d.t.Context(), &list); err != nil {
		d.t.Fatal(err)
	}
	for i := range list.Items {
		before := list.Items[i].DeepCopy()
		list.Items[i].Labels = map[string]string{"looked": "at"}
		if err := d.client.Patch(d.t.Context(), &list.Items[i], client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			d.t.Fatal(err)
		}
	}
}
