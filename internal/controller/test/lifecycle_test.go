package test

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// A create, a scale up and down, a stop, a start and a delete, as a customer sees them.
func TestLifecycle(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	life(w)
	t.Logf("%d side effects", w.live().guard.effects())
}

func (w *world) create() {
	w.t.Helper()
	w.request(w.createOperation("op-create"))
	w.succeed("op-create")
}

func (w *world) scale(count int32) {
	w.t.Helper()
	name := "op-scale-to-" + fmt.Sprint(count)
	w.request(w.scaleOperation(name, count))
	w.succeed(name)
}

func (w *world) delete() { w.deleteAs("op-delete") }

func (w *world) deleteAs(operation string) {
	w.t.Helper()
	w.request(w.deleteOperation(operation))
	w.lastBackup()
	w.succeed(operation)
}

// lastBackup plays the backup controller for a cluster that is deleted: a control plane
// that is backed up does not go before, and etcd runs for it alone where that is stopped.
func (w *world) lastBackup() {
	w.t.Helper()
	w.eventually("the final backup before the deletion", func() bool {
		var c v1beta1.ManagedCluster
		err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: w.clusterName()}, &c)
		if err != nil || !policy.FinalBackupPending(&c, 0) {
			return apierrors.IsNotFound(err) || err == nil && c.DeletionTimestamp != nil
		}
		var etcd appsv1.StatefulSet
		if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: "etcd"}, &etcd); err != nil || etcd.DeletionTimestamp != nil {
			w.t.Errorf("etcd goes before its final backup: %v", err)
		}
		if *etcd.Spec.Replicas == 0 {
			return false // it is started, where the control plane does not run
		}
		c.Status.Backup.Final = true
		return w.client.Status().Update(w.t.Context(), &c) == nil
	})
}

// checkCreated looks at the end state: what must be there, once, and nothing else.
func (w *world) checkCreated(machines int) {
	w.t.Helper()
	ctx := w.t.Context()
	var cluster v1beta1.ManagedCluster
	if err := w.client.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: w.clusterName()}, &cluster); err != nil {
		w.t.Fatal(err)
	}
	if cluster.Status.ProvisioningState != v1beta1.StateSucceeded || cluster.Status.ControlPlaneAddress == "" || cluster.Status.CurrentKubernetesVersion != "1.37.2" {
		w.t.Errorf("cluster status: %+v", cluster.Status)
	}
	counts := map[string]int{}
	for what, list := range map[string]client.ObjectList{
		"deployments": &appsv1.DeploymentList{}, "statefulsets": &appsv1.StatefulSetList{},
		"secrets": &corev1.SecretList{}, "services": &corev1.ServiceList{}, "claims": &corev1.PersistentVolumeClaimList{},
	} {
		counts[what] = w.count(list, v1beta1.ControlPlaneNamespace(clusterID))
	}
	counts["machines"] = w.count(&v1beta1.MachineList{}, w.namespace)
	counts["pools"] = w.count(&v1beta1.AgentPoolList{}, w.namespace)
	want := map[string]int{"deployments": 1, "statefulsets": 1, "secrets": 9, "services": 2, "claims": 1, "machines": machines, "pools": 1}
	for what, n := range want {
		if counts[what] != n {
			w.t.Errorf("%s: %d, want %d", what, counts[what], n)
		}
	}
	if have := len(w.machines.Machines()); have != machines {
		w.t.Errorf("the provider has %d machines, want %d", have, machines)
	}
}

func (w *world) count(list client.ObjectList, namespace string) int {
	w.t.Helper()
	if err := w.client.List(w.t.Context(), list, client.InNamespace(namespace)); err != nil {
		w.t.Fatal(err)
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(items)
}

// checkGone looks for anything that is left, and removes the test's own traces.
func (w *world) checkGone() {
	w.t.Helper()
	ctx := w.t.Context()
	for _, name := range []string{v1beta1.ControlPlaneNamespace(clusterID), v1beta1.MachineNamespace(clusterID)} {
		err := w.client.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{})
		if !apierrors.IsNotFound(err) {
			w.t.Errorf("namespace %s is left: %v", name, err)
		}
	}
	for what, list := range map[string]client.ObjectList{
		"clusters": &v1beta1.ManagedClusterList{}, "pools": &v1beta1.AgentPoolList{}, "machines": &v1beta1.MachineList{},
		"maintenance configurations": &v1beta1.MaintenanceConfigurationList{},
	} {
		if left := w.count(list, w.namespace); left > 0 {
			w.t.Errorf("%d %s are left", left, what)
		}
	}
	if left := len(w.machines.Machines()); left > 0 {
		w.t.Errorf("the provider has %d machines left", left)
	}
	w.eventuallyGone(&v1beta1.ResourceGroup{}, client.ObjectKey{Namespace: w.namespace, Name: v1beta1.ObjectName("MC_Group_Demo_westeurope")})
	for _, object := range []client.Object{&v1beta1.Operation{}, &corev1.Node{}} {
		if err := w.client.DeleteAllOf(ctx, object, client.InNamespace(namespaceFor(object, w.namespace))); err != nil {
			w.t.Fatal(err)
		}
	}
}

// namespaceFor is empty for a kind that has none.
func namespaceFor(object client.Object, namespace string) string {
	if _, ok := object.(*corev1.Node); ok {
		return ""
	}
	return namespace
}

// eventuallyGone waits for an object that another controller lets go.
func (w *world) eventuallyGone(object client.Object, key client.ObjectKey) {
	w.t.Helper()
	err := wait.PollUntilContextTimeout(w.t.Context(), pollEvery, patience, true, func(ctx context.Context) (bool, error) {
		w.live()
		err := w.client.Get(ctx, key, object)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if err != nil {
		w.t.Errorf("%T %s is left: %v", object, key, err)
	}
}
