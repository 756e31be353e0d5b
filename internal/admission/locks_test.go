package admission

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
)

// lockWorld is a group with a cluster of two pools, its node resource group and a snapshot.
type lockWorld struct {
	group, nodes *v1beta1.ResourceGroup
	cluster      *v1beta1.ManagedCluster
	system, user *v1beta1.AgentPool
	snapshot     *v1beta1.Snapshot
	operation    *v1beta1.Operation
}

func newLockWorld() *lockWorld {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "sub-1", Name: name, Finalizers: []string{v1beta1.Finalizer}}
	}
	pool := func(name, mode string) *v1beta1.AgentPool {
		made := &v1beta1.AgentPool{ObjectMeta: meta("rg1.c1." + name)}
		made.Labels = map[string]string{v1beta1.LabelCluster: "rg1.c1"}
		made.Spec.ResourceGroup, made.Spec.ClusterName, made.Spec.Name, made.Spec.Mode = "rg1", "c1", name, mode
		return made
	}
	w := &lockWorld{
		group:   &v1beta1.ResourceGroup{ObjectMeta: meta("rg1"), Spec: v1beta1.ResourceGroupSpec{Name: "rg1"}},
		nodes:   &v1beta1.ResourceGroup{ObjectMeta: meta("mc"), Spec: v1beta1.ResourceGroupSpec{Name: "mc"}},
		cluster: &v1beta1.ManagedCluster{ObjectMeta: meta("rg1.c1"), Spec: v1beta1.ManagedClusterSpec{ResourceGroup: "rg1", Name: "c1"}},
		system:  pool("sys", "System"), user: pool("usr", "User"),
		snapshot:  &v1beta1.Snapshot{ObjectMeta: meta("rg1.s1"), Spec: v1beta1.SnapshotSpec{ResourceGroup: "rg1", Name: "s1"}},
		operation: &v1beta1.Operation{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "op"}},
	}
	w.nodes.Spec.ManagedBy = operation.ClusterID(w.cluster)
	return w
}

// refused names what cannot be deleted while one scope is locked.
func (w *lockWorld) refused(t *testing.T, scope string) string {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	lock := &v1beta1.ManagementLock{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "lock-1"},
		Spec:       v1beta1.ManagementLockSpec{Name: "keep", Scope: scope, Level: v1beta1.LockCanNotDelete},
	}
	objects := []client.Object{w.group, w.nodes, w.cluster, w.system, w.user, w.snapshot, w.operation, lock}
	rules := Rules{Reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(), Now: time.Now}
	var names []string
	for _, c := range []struct {
		name   string
		delete func(context.Context) error
	}{
		{"group", func(ctx context.Context) error {
			_, err := (&groupRules{rules}).ValidateDelete(ctx, w.group)
			return err
		}},
		{"nodes", func(ctx context.Context) error {
			_, err := (&groupRules{rules}).ValidateDelete(ctx, w.nodes)
			return err
		}},
		{"cluster", func(ctx context.Context) error {
			_, err := (&clusterRules{rules}).ValidateDelete(ctx, w.cluster)
			return err
		}},
		{"pool", func(ctx context.Context) error { _, err := (&poolRules{rules}).ValidateDelete(ctx, w.user); return err }},
		{"snapshot", func(ctx context.Context) error {
			_, err := (&snapshotRules{rules}).ValidateDelete(ctx, w.snapshot)
			return err
		}},
	} {
		err := c.delete(t.Context())
		if err == nil {
			continue
		}
		names = append(names, c.name)
		for _, said := range []string{"ScopeLocked", `"keep"`, scope, "kubectl delete managementlock -n sub-1 lock-1"} {
			if !strings.Contains(err.Error(), said) {
				t.Errorf("%s: %v does not say %q", c.name, err, said)
			}
		}
	}
	return strings.Join(names, " ")
}

// kubectl deletes no more than a client of ARM can.
func TestWhatIsLockedIsNotDeleted(t *testing.T) {
	w := newLockWorld()
	for _, c := range []struct{ why, scope, refused string }{
		{"another subscription's", "/subscriptions/2", ""},
		{"everything inherits it", "/subscriptions/1", "group nodes cluster pool snapshot"},
		{"everything in the group, and the nodes that go with it", policy.GroupID(w.group), "group cluster pool snapshot"},
		{"the cluster, its pools and what it is in", operation.ClusterID(w.cluster), "group cluster pool"},
		{"the pool, and what it is in", operation.PoolID(w.user), "group cluster pool"},
		{"the other pool", operation.PoolID(w.system), "group cluster"},
		{"the snapshot, and what it is in", operation.SnapshotID(w.snapshot), "group snapshot"},
		{"the nodes, and what they go with", policy.GroupID(w.nodes), "group nodes cluster pool"},
	} {
		if got := w.refused(t, c.scope); got != c.refused {
			t.Errorf("%s: a lock at %s refuses %q, want %q", c.why, c.scope, got, c.refused)
		}
	}
}

// What was decided before is done, also where a lock has come since, or where the support
// policy decided it: Berth's controllers delete what is below.
func TestDecidedDeletionsGoOn(t *testing.T) {
	now := metav1.Now()
	for _, c := range []struct {
		why     string
		change  func(*lockWorld)
		refused string
	}{
		{"nothing was decided", func(*lockWorld) {}, "group nodes cluster pool snapshot"},
		{"an operation deletes the cluster", func(w *lockWorld) {
			w.operation.Spec.Type = v1beta1.OperationDelete
			w.cluster.Annotations = map[string]string{v1beta1.AnnotationOperation: "op"}
		}, "group nodes pool snapshot"},
		{"an operation that changes it decides nothing", func(w *lockWorld) {
			w.operation.Spec.Type = v1beta1.OperationPut
			w.cluster.Annotations = map[string]string{v1beta1.AnnotationOperation: "op"}
		}, "group nodes cluster pool snapshot"},
		{"an operation that has ended", func(w *lockWorld) {
			w.operation.Spec.Type, w.operation.Status.Status = v1beta1.OperationDelete, v1beta1.OperationFailed
			w.cluster.Annotations = map[string]string{v1beta1.AnnotationOperation: "op"}
		}, "group nodes cluster pool snapshot"},
		{"the cluster goes, with its pools and nodes", func(w *lockWorld) { w.cluster.DeletionTimestamp = &now }, "group snapshot"},
		{"the group goes, with its clusters and snapshots", func(w *lockWorld) { w.group.DeletionTimestamp = &now }, "nodes pool"},
	} {
		w := newLockWorld()
		c.change(w)
		if got := w.refused(t, "/subscriptions/1"); got != c.refused {
			t.Errorf("%s: %q is refused, want %q", c.why, got, c.refused)
		}
	}
}
