package containerservice

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/support"
)

// A stop is refused for what the cluster's webhooks would hold up, before anything is
// touched; a cluster that does not answer can be stopped.
func TestRefuseStop(t *testing.T) {
	held := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1beta1.AnnotationOperation: "op-1"}}}
	nodes := []support.Webhook{{Name: "w", Configuration: "c", Resources: []string{"nodes"}, Inside: true}}
	for _, c := range []struct {
		why     string
		cluster *v1beta1.ManagedCluster
		hooks   []support.Webhook
		err     error
		refused bool
	}{
		{"no webhook", &v1beta1.ManagedCluster{}, nil, nil, false},
		{"one on nodes", &v1beta1.ManagedCluster{}, nodes, nil, true},
		{"a cluster that does not answer", &v1beta1.ManagedCluster{}, nil, errors.New("connection refused"), false},
		{"one whose start came to nothing", &v1beta1.ManagedCluster{Status: v1beta1.ManagedClusterStatus{PowerState: v1beta1.PowerState{Code: v1beta1.PowerStopped}}}, nodes, nil, false},
		{"one that another operation holds, which is the better reason", held, nodes, nil, false},
	} {
		p := provider{&arm.Server{Config: arm.Config{Now: time.Now, StopWebhooks: func(context.Context, *v1beta1.ManagedCluster) ([]support.Webhook, error) { return c.hooks, c.err }}}}
		found := newView(c.cluster, nil, nil)
		found.held["op-1"] = &v1beta1.Operation{}
		err := p.refuseStop(t.Context(), found)
		var refusal *arm.Error
		if errors.As(err, &refusal) != c.refused || c.refused && refusal.Code != policy.CodeValidationError {
			t.Errorf("%s: %v", c.why, err)
		}
	}
	if err := (provider{&arm.Server{}}).refuseStop(t.Context(), newView(&v1beta1.ManagedCluster{}, nil, nil)); err != nil {
		t.Errorf("nobody looks: %v", err)
	}
}

// A pool whose deletion is held up by a budget can be told to pass it, once and again.
func TestPassBudgets(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	pool := &v1beta1.AgentPool{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-a", Name: "rg1.c1.np1", Annotations: map[string]string{"kept": "yes"}}}
	p := provider{&arm.Server{Config: arm.Config{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(pool).Build()}}}
	for range 2 {
		if err := p.passBudgets(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	var stored v1beta1.AgentPool
	if err := p.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), &stored); err != nil {
		t.Fatal(err)
	}
	if stored.Annotations[v1beta1.AnnotationIgnoreBudgets] != "true" || stored.Annotations["kept"] != "yes" {
		t.Errorf("annotations %v", stored.Annotations)
	}
	pool.Name = "rg1.c1.gone"
	if err := p.passBudgets(t.Context(), pool); err != nil {
		t.Errorf("one that is gone already: %v", err)
	}
}
