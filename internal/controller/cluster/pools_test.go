package cluster

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

// A start fails with what came of its own attempt, and not of one before it: it asks the
// cluster first and its pools a moment later.
func TestAnEarlierErrorOfAPoolFailsNoStart(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	const before, start = "start-1", "start-2"
	for _, c := range []struct {
		why    string
		status v1beta1.OperationStatusCode // of the start; empty if it is gone
		named  bool
		asked  string // what the pool is asked for by
		saw    string // what its status describes
		fails  bool
	}{
		{"the pool is not asked yet", v1beta1.OperationInProgress, true, before, before, false},
		{"nor is the operation", "NotStarted", true, before, before, false},
		{"it has not looked yet", v1beta1.OperationInProgress, true, start, before, false},
		{"it failed once more", v1beta1.OperationInProgress, true, start, start, true},
		{"the start has failed", v1beta1.OperationFailed, true, start, start, true},
		{"it has, and the pool was asked for something else since", v1beta1.OperationFailed, true, "later", "later", true},
		{"nobody knows what asked for the cluster", "", false, before, before, true},
		{"the operation asks for the cluster alone", v1beta1.OperationInProgress, false, before, before, true},
	} {
		cluster := &v1beta1.ManagedCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sub", Name: "rg.c1", Annotations: map[string]string{v1beta1.AnnotationOperation: start}},
			Spec:       v1beta1.ManagedClusterSpec{ResourceGroup: "rg", Name: "c1"},
		}
		cluster.Status.ProvisioningState, cluster.Status.PowerState.Code = v1beta1.StateFailed, v1beta1.PowerStopped
		meta.SetStatusCondition(&cluster.Status.Conditions, metav1.Condition{Type: conditionPoolsCreated, Status: metav1.ConditionTrue, Reason: "Created"})
		pool := newPool(cluster, &v1beta1.AgentPoolProfile{Name: "np1"})
		pool.Labels = map[string]string{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
		pool.Annotations = map[string]string{v1beta1.AnnotationOperation: c.asked}
		pool.Status = v1beta1.AgentPoolStatus{
			ObservedOperation: c.saw, ProvisioningState: v1beta1.StateFailed,
			PowerState: v1beta1.PowerState{Code: v1beta1.PowerStopped}, Error: &v1beta1.OperationError{Code: "NodesNotReady"},
		}
		store := fake.NewClientBuilder().WithScheme(scheme).WithObjects(cluster, pool)
		if c.status != "" {
			op := &v1beta1.Operation{ObjectMeta: metav1.ObjectMeta{Namespace: "sub", Name: start}, Status: v1beta1.OperationStatus{Status: c.status}}
			op.Spec.Desired = &v1beta1.DesiredState{Cluster: &cluster.Spec}
			if c.named {
				op.Spec.Desired.AgentPools = []v1beta1.AgentPoolSpec{pool.Spec}
			}
			store = store.WithObjects(op)
		}
		built := store.Build()
		r, p := &reconciler{client: built, reader: built}, &pass{cluster: cluster}
		if _, err := r.pools(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		p.found.rolledOut, p.found.addonsApplied = true, true
		want := sawStarting
		if c.fails {
			want = sawBreakage
		}
		if got := observe(cluster, &p.found); got != want || (p.found.poolFailure != nil) != c.fails {
			t.Errorf("%s: %s with %v, want %s", c.why, got, p.found.poolFailure, want)
		}
	}
}
