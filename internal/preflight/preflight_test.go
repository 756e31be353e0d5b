package preflight

import (
	"context"
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
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

var now = time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC)

// tenants is one managed cluster.
type tenants struct {
	client.WithWatch
	metrics string
	status  int
}

func (t *tenants) Client(context.Context, string) (client.WithWatch, error) { return t.WithWatch, nil }

func (t *tenants) Get(context.Context, string, string) (*http.Response, error) {
	return &http.Response{StatusCode: t.status, Status: http.StatusText(t.status), Body: io.NopCloser(strings.NewReader(t.metrics))}, nil
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
	got, err := budgetOf(budget, []corev1.Pod{*pod("web-1", "web", "n1", nil)}, []string{"n1"})
	if err != nil || got.ExpectedPods != 1 {
		t.Errorf("its pods are counted here: %+v, %v", got, err)
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
	management := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(cluster).WithObjects(cluster).Build()
	tenant := &tenants{metrics: metrics, status: http.StatusOK}
	clock := now
	reader := Reader{Management: management, Tenants: tenant, Now: func() time.Time { return clock }}
	recorder := &Recorder{Reader: reader, Client: management, Log: slog.New(slog.DiscardHandler)}
	for range 2 { // the second time nothing is new
		if err := recorder.RecordAll(ctx); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(time.Hour)
	}
	// The API server was started anew and nobody has asked yet: what was recorded still counts.
	tenant.metrics = ""
	uses, err := reader.Uses(ctx, cluster)
	if err != nil || len(uses) != 1 || !uses[0].LastWritten.Equal(now) {
		t.Errorf("%+v, %v, want one, last written %s", uses, err, now)
	}
	tenant.status = http.StatusForbidden
	if _, err := reader.Uses(ctx, cluster); err == nil {
		t.Error("metrics that cannot be read are taken for none")
	}
}
