package preflight

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

var now = time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC)

// tenants is one managed cluster, whose API servers have metrics by their addresses.
type tenants struct {
	client.WithWatch
	metrics map[string]string
	status  int
}

func (t *tenants) Client(context.Context, string) (client.WithWatch, error) { return t.WithWatch, nil }

func (t *tenants) GetFrom(_ context.Context, _, address, _ string) (*http.Response, error) {
	text, ok := t.metrics[address]
	if !ok {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: t.status, Status: http.StatusText(t.status), Body: io.NopCloser(strings.NewReader(text))}, nil
}

// apiServer is a pod of the control plane.
func apiServer(name, ip string, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "cp-abc", Name: name, UID: types.UID(name), Labels: map[string]string{controlplane.LabelComponent: controlplane.ComponentKube}},
		Status: corev1.PodStatus{
			PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "kube", RestartCount: 1}},
		},
	}
}

func pod(name, app, node string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": app}}, Spec: corev1.PodSpec{NodeName: node}}
	if change != nil {
		change(p)
	}
	return p
}

func node(name, pool string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{labelPool: pool}}}
}

func pdb(app string, status policyv1.PodDisruptionBudgetStatus) *policyv1.PodDisruptionBudget {
	one := intstr.FromInt32(1)
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: app},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}},
		Status:     status,
	}
}

func TestBudgetsNameTheNodesOfThePools(t *testing.T) {
	yes := true
	tenant := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(
		node("n1", "np1"), node("n2", "np2"),
		pod("web-1", "web", "n1", nil), pod("web-2", "web", "n2", nil),
		pod("batch-1", "batch", "n1", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		pod("agent-1", "agent", "n1", func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "agent", UID: "1", Controller: &yes}}
		}),
		pdb("web", policyv1.PodDisruptionBudgetStatus{ExpectedPods: 2}),
		pdb("batch", policyv1.PodDisruptionBudgetStatus{}), pdb("agent", policyv1.PodDisruptionBudgetStatus{ExpectedPods: 1}),
	).Build()
	reader := Reader{Tenants: &tenants{WithWatch: tenant}}
	budgets, err := reader.Budgets(context.Background(), &v1beta1.ManagedCluster{}, []string{"np2"})
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.Budget{
		{Namespace: "default", Name: "agent", MinAvailable: "1", ExpectedPods: 1},
		{Namespace: "default", Name: "batch", MinAvailable: "1"},
		{Namespace: "default", Name: "web", MinAvailable: "1", ExpectedPods: 2, Nodes: []string{"n2"}},
	}
	if !reflect.DeepEqual(budgets, want) {
		t.Errorf("of pool np2: %+v, want %+v", budgets, want)
	}
	budgets, err = reader.Budgets(context.Background(), &v1beta1.ManagedCluster{}, []string{"np1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, budget := range budgets {
		if (len(budget.Nodes) > 0) != (budget.Name == "web") {
			t.Errorf("a drain of pool np1 evicts neither pods that have ended nor those of DaemonSets: %+v", budget)
		}
	}
}

func TestABudgetThatIsNotCountedYet(t *testing.T) {
	budget := pdb("web", policyv1.PodDisruptionBudgetStatus{})
	budget.Generation = 1
	covered, err := coveredBy(budget, []corev1.Pod{*pod("web-1", "web", "n1", nil)})
	if got := budgetOf(budget, covered, []string{"n1"}); err != nil || got.ExpectedPods != 1 {
		t.Errorf("its pods are counted here: %+v, %v", got, err)
	}
}

// Pods that two budgets select are found where they would be evicted.
func TestBudgetsThatShareAPod(t *testing.T) {
	everything := pdb("everything", policyv1.PodDisruptionBudgetStatus{ExpectedPods: 3})
	everything.Spec.Selector = &metav1.LabelSelector{}
	elsewhere := pdb("web", policyv1.PodDisruptionBudgetStatus{})
	elsewhere.Namespace = "other"
	tenant := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(
		node("n1", "np1"), node("n2", "np2"), node("n3", "np3"),
		pod("web-1", "web", "n1", nil), pod("batch-1", "batch", "n2", nil),
		pod("web-2", "web", "n3", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }),
		everything, elsewhere, pdb("web", policyv1.PodDisruptionBudgetStatus{ExpectedPods: 2}),
	).Build()
	reader := Reader{Tenants: &tenants{WithWatch: tenant}}
	for _, c := range []struct {
		why, pool string
		want      map[string]*policy.SharedPod
	}{
		{"both say so", "np1", map[string]*policy.SharedPod{
			"default/everything": {Name: "web-1", Node: "n1", Budgets: []string{"everything", "web"}},
			"default/web":        {Name: "web-1", Node: "n1", Budgets: []string{"everything", "web"}},
		}},
		{"one budget alone has the pod there", "np2", nil},
		{"a pod that has not started is evicted all the same", "np3", nil},
	} {
		budgets, err := reader.Budgets(context.Background(), &v1beta1.ManagedCluster{}, []string{c.pool})
		if err != nil {
			t.Fatal(err)
		}
		for _, budget := range budgets {
			if got, want := budget.Shared, c.want[budget.Namespace+"/"+budget.Name]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s/%s %+v, want %+v", c.why, budget.Namespace, budget.Name, got, want)
			}
		}
	}
}

const metrics = `# HELP apiserver_requested_deprecated_apis Gauge of deprecated APIs that have been requested
apiserver_requested_deprecated_apis{group="networking.k8s.io",removed_release="1.37",resource="ipaddresses",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="networking.k8s.io",resource="ipaddresses",scope="cluster",subresource="",verb="LIST",version="v1beta1"} 70
apiserver_request_total{code="201",component="apiserver",dry_run="",group="networking.k8s.io",resource="ipaddresses",scope="resource",subresource="",verb="POST",version="v1beta1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="",group="networking.k8s.io",resource="ipaddresses",scope="resource",subresource="",verb="APPLY",version="v1beta1"} 1
apiserver_request_total{code="403",component="apiserver",dry_run="",group="networking.k8s.io",resource="ipaddresses",scope="resource",subresource="",verb="POST",version="v1beta1"} 5
apiserver_request_total{code="201",component="apiserver",dry_run="",group="networking.k8s.io",resource="ipaddresses",scope="resource",subresource="",verb="POST",version="v1"} 9
apiserver_request_duration_seconds_bucket{verb="POST",le="0.1"} 4
`

func TestParseUses(t *testing.T) {
	uses, err := parseUses(strings.NewReader(metrics))
	want := []policy.APIUse{{Group: "networking.k8s.io", Version: "v1beta1", Resource: "ipaddresses", RemovedRelease: "1.37", Writes: 3}}
	if err != nil || !reflect.DeepEqual(uses, want) {
		t.Errorf("reads, refused writes, other versions and what is never removed do not count: %+v, %v", uses, err)
	}
}

// Three API servers count apart, and come and go.
func TestRecorderKeepsWhenAPIsWereWrittenTo(t *testing.T) {
	ctx := context.Background()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	ready := metav1.NewTime(now)
	cluster := &v1beta1.ManagedCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sub", Name: "rg.c1"}, Spec: v1beta1.ManagedClusterSpec{ID: "abc"},
		Status: v1beta1.ManagedClusterStatus{APIServerReady: &ready},
	}
	first, second, third := apiServer("a", "10.0.0.1", corev1.ConditionTrue), apiServer("b", "10.0.0.2", corev1.ConditionTrue), apiServer("c", "10.0.0.3", corev1.ConditionFalse)
	management := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(cluster).WithObjects(cluster, first, second, third).Build()
	tenant := &tenants{metrics: map[string]string{"10.0.0.1:6443": "", "10.0.0.2:6443": metrics}, status: http.StatusOK}
	clock := now
	reader := Reader{Management: management, Tenants: tenant, Now: func() time.Time { return clock }}
	recorder := &Recorder{Reader: reader, Client: management, Log: slog.New(slog.DiscardHandler)}
	record := func() {
		t.Helper()
		if err := recorder.RecordAll(ctx); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(time.Hour)
	}
	check := func(why string, last time.Time) {
		t.Helper()
		if uses, err := reader.Uses(ctx, cluster); err != nil || len(uses) != 1 || !uses[0].LastWritten.Equal(last) {
			t.Errorf("%s: %+v, %v, want one, last written %s", why, uses, err, last)
		}
	}
	record() // by the second server alone
	record() // nothing is new
	check("the writes that one of three got count", now)

	// The second is replaced. Nobody has asked yet: what was recorded still counts.
	if err := management.Delete(ctx, second); err != nil {
		t.Fatal(err)
	}
	if err := management.Create(ctx, apiServer("d", "10.0.0.4", corev1.ConditionTrue)); err != nil {
		t.Fatal(err)
	}
	tenant.metrics = map[string]string{"10.0.0.1:6443": "", "10.0.0.4:6443": ""}
	record()
	check("a server's end does not make its writes new, nor forgotten", now)

	// The third is ready at last, and has been written to.
	third.Status.Conditions[0].Status = corev1.ConditionTrue
	if err := management.Status().Update(ctx, third); err != nil {
		t.Fatal(err)
	}
	tenant.metrics["10.0.0.3:6443"] = metrics
	written := clock
	record()
	check("the writes that another one got", written)

	// Its container begins anew, and as much is written as before.
	third.Status.ContainerStatuses[0].RestartCount = 2
	if err := management.Status().Update(ctx, third); err != nil {
		t.Fatal(err)
	}
	check("another process counts from nothing", clock)

	delete(tenant.metrics, "10.0.0.3:6443")
	if _, err := reader.Uses(ctx, cluster); err == nil {
		t.Error("a ready API server that does not answer is taken for one that nobody wrote to")
	}
	tenant.metrics["10.0.0.3:6443"] = ""
	tenant.status = http.StatusForbidden
	if _, err := reader.Uses(ctx, cluster); err == nil {
		t.Error("metrics that cannot be read are taken for none")
	}
	if err := management.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace("cp-abc")); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Uses(ctx, cluster); err == nil {
		t.Error("no API server is taken for one that nobody wrote to")
	}
}

// A record of an earlier Berth, which counted all API servers as one, holds no upgrade up
// after Berth was updated: what was written since then does.
func TestRecordsOfAnEarlierBerth(t *testing.T) {
	ctx := t.Context()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	ready, last := metav1.NewTime(now), now.Add(-24*time.Hour)
	cluster := &v1beta1.ManagedCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sub", Name: "rg.c1"}, Spec: v1beta1.ManagedClusterSpec{ID: "abc"},
		Status: v1beta1.ManagedClusterStatus{APIServerReady: &ready},
	}
	old := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "cp-abc", Name: RecordName}, Data: map[string]string{
		recordKey: `[{"group":"networking.k8s.io","version":"v1beta1","resource":"ipaddresses","removedRelease":"1.37","writes":3,"lastWritten":"` + last.Format(time.RFC3339) + `"}]`,
	}}
	management := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(cluster).WithObjects(cluster, old, apiServer("a", "10.0.0.1", corev1.ConditionTrue)).Build()
	tenant := &tenants{metrics: map[string]string{"10.0.0.1:6443": metrics}, status: http.StatusOK}
	clock := now
	reader := Reader{Management: management, Tenants: tenant, Now: func() time.Time { return clock }}
	recorder := &Recorder{Reader: reader, Client: management, Log: slog.New(slog.DiscardHandler)}
	check := func(why string, want time.Time) {
		t.Helper()
		if uses, err := reader.Uses(ctx, cluster); err != nil || len(uses) != 1 || !uses[0].LastWritten.Equal(want) {
			t.Errorf("%s: %+v, %v, want one, last written %s", why, uses, err, want)
		}
	}
	check("asked before it is recorded anew", last)
	for range 2 {
		if err := recorder.RecordAll(ctx); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(time.Hour)
		check("recorded anew", last)
	}
	tenant.metrics["10.0.0.1:6443"] = strings.ReplaceAll(metrics, "} 2\n", "} 4\n")
	check("written to since", clock)
}
