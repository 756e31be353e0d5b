package inspect

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/triage"
)

var noon = metav1.NewTime(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))

// tenants is one managed cluster, or none.
type tenants struct {
	client.WithWatch
	err error
}

func (t tenants) Client(context.Context, string) (client.WithWatch, error) { return t.WithWatch, t.err }

// cluster is a managed cluster that fails the test when it is written to, or asked for Secrets.
func cluster(t *testing.T, objects ...client.Object) Reader {
	t.Helper()
	wrong := func() error { t.Error("a cluster that is inspected was written to, or a Secret read"); return nil }
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", Labels: map[string]string{"kubernetes.io/metadata.name": "kube-system"}}}
	made := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(append(objects, system)...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return wrong() },
		Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error { return wrong() },
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return wrong()
		},
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error { return wrong() },
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if _, secret := object.(*corev1.Secret); secret {
				return wrong()
			}
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if _, secrets := list.(*corev1.SecretList); secrets {
				return wrong()
			}
			return c.List(ctx, list, options...)
		},
	}).Build()
	return Reader{Tenants: tenants{WithWatch: made}, Managed: map[string]bool{
		"DaemonSet/kube-system/kube-proxy": true, "IngressClass//routing": true, "MutatingWebhookConfiguration//ours": true,
	}}
}

func inspected(t *testing.T, r Reader) triage.Evidence {
	t.Helper()
	var evidence triage.Evidence
	if err := r.Inspect(t.Context(), &v1beta1.ManagedCluster{}, &evidence); err != nil {
		t.Fatal(err)
	}
	return evidence
}

func node(name string, conditions ...corev1.NodeCondition) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: conditions}}
}

func condition(kind corev1.NodeConditionType, status corev1.ConditionStatus) corev1.NodeCondition {
	return corev1.NodeCondition{Type: kind, Status: status, LastTransitionTime: noon}
}

// managed are the labels of the service's own objects, which a customer can set too.
func managed() map[string]string {
	return map[string]string{"addonmanager.kubernetes.io/mode": "Reconcile"}
}

func daemonSet(namespace, name string, mine bool, change func(*corev1.PodSpec)) *appsv1.DaemonSet {
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name)}}
	set.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	set.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c"}}
	if mine {
		set.Labels = managed()
	}
	if change != nil {
		change(&set.Spec.Template.Spec)
	}
	return set
}

func podOf(set *appsv1.DaemonSet, on string) *corev1.Pod {
	yes, start := true, metav1.NewTime(noon.Add(-10*time.Minute))
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: set.Namespace, Name: set.Name + "-" + on, Labels: map[string]string{"app": set.Name},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: set.Name, UID: set.UID, Controller: &yes}}},
		Spec: corev1.PodSpec{NodeName: on}, Status: corev1.PodStatus{StartTime: &start},
	}
}

func privileged(spec *corev1.PodSpec) {
	yes := true
	spec.InitContainers = []corev1.Container{{Name: "i", SecurityContext: &corev1.SecurityContext{Privileged: &yes}}}
}

// What is the service's own and what is the customer's is told apart, and only what
// reaches into an ill node is named.
func TestDaemonSetsOnIllNodes(t *testing.T) {
	tuner, plain := daemonSet("tools", "sysctl", false, privileged), daemonSet("tools", "logs", false, nil)
	pid := daemonSet("tools", "agent", false, func(s *corev1.PodSpec) { s.HostPID = true })
	ours := daemonSet("kube-system", "kube-proxy", true, privileged)
	stray := podOf(tuner, "n1")
	stray.Name, stray.OwnerReferences = "stray", nil
	older := podOf(tuner, "n4") // an update that has come to n1 and n2 alone
	older.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = "before"
	evidence := inspected(t, cluster(t,
		node("n1", condition(corev1.NodeReady, corev1.ConditionFalse)), node("n2", condition(corev1.NodeReady, corev1.ConditionTrue)),
		node("n3", condition(corev1.NodeReady, corev1.ConditionTrue), condition(policy.ConditionKubeletProblem, corev1.ConditionTrue)),
		node("n4", condition(corev1.NodeReady, corev1.ConditionTrue), condition(corev1.NodeDiskPressure, corev1.ConditionTrue)),
		tuner, plain, pid, ours, podOf(tuner, "n1"), podOf(tuner, "n2"), older, podOf(pid, "n3"), podOf(plain, "n1"), podOf(ours, "n1"), stray,
		daemonSet("calico-system", "calico-node", false, nil),
	))
	started := noon.Add(-10 * time.Minute)
	want := []triage.Tuner{
		{Name: "tools/agent", Reach: "hostPID", Node: "n3", HealthyWith: 0, HealthyWithout: 2},
		{Name: "tools/sysctl", Reach: "privileged", Node: "n1", HealthyWith: 1, HealthyWithout: 1, HealthySince: started},
	}
	for i := range evidence.Tuners {
		if !evidence.Tuners[i].Started.Equal(started) || !evidence.Tuners[i].IllSince.Equal(noon.Time) {
			t.Errorf("times: %+v", evidence.Tuners[i])
		}
		if since := &evidence.Tuners[i].HealthySince; !since.IsZero() {
			*since = since.UTC()
		}
		evidence.Tuners[i].Started, evidence.Tuners[i].IllSince = time.Time{}, time.Time{}
	}
	if !reflect.DeepEqual(evidence.Tuners, want) {
		t.Errorf("tuners: %+v", evidence.Tuners)
	}
	if !reflect.DeepEqual(evidence.OwnPolicyEngines, []string{"calico-system/calico-node"}) {
		t.Errorf("policy engines: %q", evidence.OwnPolicyEngines)
	}
}

func TestIngressClasses(t *testing.T) {
	ours := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "routing", Labels: managed()}}
	evidence := inspected(t, cluster(t, ours, &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "nginx"}}))
	if want := []triage.Controller{{Name: "nginx"}, {Name: "routing", Managed: true}}; !reflect.DeepEqual(evidence.Ingresses, want) {
		t.Errorf("ingresses: %+v", evidence.Ingresses)
	}
}

// A capability that changes the node is a way into it; one that stays in the pod is none.
func TestReach(t *testing.T) {
	for _, c := range []struct {
		added corev1.Capability
		host  bool
		want  string
	}{
		{"SYS_ADMIN", false, "SYS_ADMIN"}, {"cap_sys_module", false, "SYS_MODULE"}, {"ALL", false, "ALL"},
		{"NET_ADMIN", true, "NET_ADMIN"}, {"NET_ADMIN", false, ""}, {"NET_BIND_SERVICE", true, ""},
	} {
		spec := corev1.PodSpec{HostNetwork: c.host, Containers: []corev1.Container{{Name: "c"}, {Name: "d", SecurityContext: &corev1.SecurityContext{
			Capabilities: &corev1.Capabilities{Add: []corev1.Capability{c.added}},
		}}}}
		if got := reachOf(&spec); got != c.want {
			t.Errorf("%s, with the host's network %v: %q, want %q", c.added, c.host, got, c.want)
		}
	}
}

// What has the labels of the service's own objects and none of their names is the customer's.
func TestLabelsAreNotNames(t *testing.T) {
	proxy := daemonSet("tools", "kube-proxy", true, privileged)
	evidence := inspected(t, cluster(t,
		node("n1", condition(corev1.NodeReady, corev1.ConditionFalse)), proxy, podOf(proxy, "n1"), daemonSet("calico-system", "calico-node", true, nil),
		&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "nginx", Labels: managed()}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "m", Labels: managed()}, Webhooks: []admissionv1.MutatingWebhook{{
			Name: "gone.example.com", ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "hooks", Name: "gone"}},
			Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{"*"}, Rule: admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*"}}}},
		}}},
	))
	if len(evidence.Tuners) != 1 || len(evidence.OwnPolicyEngines) != 1 || len(evidence.Webhooks) != 1 {
		t.Errorf("taken for the service's own: %+v", evidence)
	}
	if want := []triage.Controller{{Name: "nginx"}}; !reflect.DeepEqual(evidence.Ingresses, want) {
		t.Errorf("ingresses: %+v", evidence.Ingresses)
	}
}

// Only a webhook that must answer for kube-system, and cannot, is held against the customer.
func TestWebhooksThatBlock(t *testing.T) {
	ignore, yes, no := admissionv1.Ignore, true, false
	elsewhere := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"kube-system"}},
	}}
	service := func(name string) admissionv1.WebhookClientConfig {
		return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "hooks", Name: name}}
	}
	url := "https://example.com"
	rules := func(group string) []admissionv1.RuleWithOperations {
		return []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{"*"}, Rule: admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: []string{"*"}}}}
	}
	all := rules("*")
	slice := func(name string, ready *bool) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "hooks", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: ready}}},
		}
	}
	evidence := inspected(t, cluster(t,
		&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Webhooks: []admissionv1.ValidatingWebhook{
			{Name: "down.example.com", Rules: all, ClientConfig: service("down")},
			{Name: "up.example.com", Rules: all, ClientConfig: service("up")},
			{Name: "away.example.com", Rules: all, ClientConfig: service("down"), NamespaceSelector: elsewhere},
			{Name: "lenient.example.com", Rules: all, ClientConfig: service("down"), FailurePolicy: &ignore},
			{Name: "own.example.com", Rules: rules("cert-manager.io"), ClientConfig: service("down")},
			{Name: "url.example.com", Rules: all, ClientConfig: admissionv1.WebhookClientConfig{URL: &url}},
		}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "m"}, Webhooks: []admissionv1.MutatingWebhook{{Name: "gone.example.com", Rules: rules(""), ClientConfig: service("gone")}}},
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "ours", Labels: managed()}, Webhooks: []admissionv1.MutatingWebhook{{Name: "ours.example.com", Rules: all, ClientConfig: service("gone")}}},
		slice("down", &no), slice("up", &yes),
	))
	want := []string{
		"down.example.com, whose Service hooks/down has no ready endpoint", "gone.example.com, whose Service hooks/gone has no ready endpoint",
	}
	if !reflect.DeepEqual(evidence.Webhooks, want) {
		t.Errorf("webhooks: %q", evidence.Webhooks)
	}
}

func TestNoControlPlane(t *testing.T) {
	away := errors.New("no control plane")
	if err := (Reader{Tenants: tenants{err: away}}).Inspect(t.Context(), &v1beta1.ManagedCluster{}, &triage.Evidence{}); !errors.Is(err, away) {
		t.Errorf("error: %v", err)
	}
}
