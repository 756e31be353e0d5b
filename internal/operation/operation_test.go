package operation

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1beta1"
)

const namespace = "sub-1"

func store(t *testing.T, funcs interceptor.Funcs) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1beta1.Operation{}).WithInterceptorFuncs(funcs).Build()
}

func putCluster1(name string, tags map[string]string) *v1beta1.Operation {
	return &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationPut, State: v1beta1.StateCreating,
			Target: v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: "rg.c1"},
			Desired: &v1beta1.DesiredState{
				Cluster:    &v1beta1.ManagedClusterSpec{ResourceGroup: "rg", Name: "c1", Location: "l", Tags: tags},
				AgentPools: []v1beta1.AgentPoolSpec{{ResourceGroup: "rg", ClusterName: "c1", AgentPoolProfile: v1beta1.AgentPoolProfile{Name: "np1"}}},
			},
		},
	}
}

func TestOneOperationHoldsATarget(t *testing.T) {
	ctx, c := context.Background(), store(t, interceptor.Funcs{})
	first := putCluster1("first", nil)
	if err := Begin(ctx, c, c, first); err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if err := Begin(ctx, c, c, putCluster1("second", nil)); !errors.As(err, &busy) || busy.Operation.Name != "first" {
		t.Fatalf("a second operation on a held cluster: %v", err)
	}
	pool := putCluster1("third", nil)
	pool.Spec.Target = v1beta1.OperationTarget{Kind: v1beta1.TargetAgentPool, Name: "rg.c1.np2"}
	pool.Spec.Desired.Cluster = nil
	pool.Spec.Desired.AgentPools[0].Name = "np2"
	if err := Begin(ctx, c, c, pool); !errors.As(err, &busy) {
		t.Fatalf("a new pool while its cluster is held: %v", err)
	}
	if err := End(ctx, c, first, v1beta1.OperationSucceeded, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := Begin(ctx, c, c, putCluster1("fourth", map[string]string{"a": "b"})); err != nil {
		t.Fatalf("an operation after the first one ended: %v", err)
	}
	var cluster v1beta1.ManagedCluster
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "rg.c1"}, &cluster); err != nil {
		t.Fatal(err)
	}
	if cluster.Spec.Tags["a"] != "b" || cluster.Annotations[v1beta1.AnnotationOperation] != "fourth" || cluster.Spec.ID != first.Spec.Desired.Cluster.ID {
		t.Errorf("cluster after the second put: %+v", cluster)
	}
}

func TestDeletePreempts(t *testing.T) {
	ctx, c := context.Background(), store(t, interceptor.Funcs{})
	if err := Begin(ctx, c, c, putCluster1("create", nil)); err != nil {
		t.Fatal(err)
	}
	del := &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "delete", CreationTimestamp: metav1.Now()},
		Spec: v1beta1.OperationSpec{Type: v1beta1.OperationDelete, State: v1beta1.StateDeleting,
			Target: v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: "rg.c1"}},
	}
	if err := Begin(ctx, c, c, del); err != nil {
		t.Fatal(err)
	}
	var cluster v1beta1.ManagedCluster
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "rg.c1"}, &cluster); err != nil {
		t.Fatal(err)
	}
	if cluster.DeletionTimestamp.IsZero() || cluster.Annotations[v1beta1.AnnotationOperation] != "delete" {
		t.Errorf("after the delete: deleted %v, held by %s", cluster.DeletionTimestamp, cluster.Annotations[v1beta1.AnnotationOperation])
	}
}

// TestApplyFinishesAfterDeathAtEveryWrite dies at write 1, 2, … of Begin and lets
// Apply, as the controller would, finish what was begun.
func TestApplyFinishesAfterDeathAtEveryWrite(t *testing.T) {
	death := errors.New("killed")
	for dieAt := 1; ; dieAt++ {
		writes := 0
		die := func() error {
			if writes++; writes == dieAt {
				return death
			}
			return nil
		}
		c := store(t, interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				if err := die(); err != nil {
					return err
				}
				return c.Create(ctx, object, options...)
			},
		})
		ctx := context.Background()
		err := Begin(ctx, c, c, putCluster1("op", nil))
		if err == nil {
			if dieAt < 4 {
				t.Fatalf("only %d writes: an operation, a cluster and a pool were expected", dieAt-1)
			}
			return
		}
		if !errors.Is(err, death) {
			t.Fatal(err)
		}
		var op v1beta1.Operation
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "op"}, &op); err != nil {
			if dieAt != 1 {
				t.Errorf("death at write %d: the operation is lost", dieAt)
			}
			continue
		}
		if err := Apply(ctx, c, c, &op); err != nil {
			t.Fatalf("death at write %d: apply: %v", dieAt, err)
		}
		var pool v1beta1.AgentPool
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "rg.c1.np1"}, &pool); err != nil {
			t.Errorf("death at write %d: the pool is missing: %v", dieAt, err)
		}
	}
}

func TestLabelValue(t *testing.T) {
	long := strings.Repeat("a", 70)
	if got := LabelValue(long); len(got) > 63 || got == LabelValue(long+"b") {
		t.Errorf("LabelValue of a long name: %q", got)
	}
	if LabelValue("rg.c1") != "rg.c1" {
		t.Error("a short name was changed")
	}
}

// Operations ask their machines in one order, whichever they were named in; one that
// names none asks none.
func TestMachinesAreAskedInOneOrder(t *testing.T) {
	var asked []string
	c := store(t, interceptor.Funcs{Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
		asked = append(asked, object.GetName())
		return c.Update(ctx, object, options...)
	}})
	for _, name := range []string{"a", "b", "c"} {
		if err := c.Create(t.Context(), &v1beta1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	op := &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "some"},
		Spec:       v1beta1.OperationSpec{Type: v1beta1.OperationInstances},
	}
	for _, machines := range []*v1beta1.InstancesOperation{nil, {Action: v1beta1.InstanceRestart, Machines: []string{"c", "a", "b"}}} {
		op.Spec.Instances = machines
		if err := Apply(t.Context(), c, c, op); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(asked, []string{"a", "b", "c"}) || op.Spec.Instances.Machines[0] != "c" {
		t.Errorf("asked %v", asked)
	}
}
