package test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

const (
	patience  = 120 * time.Second
	pollEvery = 30 * time.Millisecond
)

// clusterSpec is a cluster as admission leaves it. Its DNS address lies in the
// service range of the API server that plays the tenant's.
func clusterSpec() v1beta1.ManagedClusterSpec {
	return v1beta1.ManagedClusterSpec{
		ResourceGroup: "Group", Name: "Demo", Location: "westeurope", ID: clusterID,
		DNSPrefix: "demo", NodeResourceGroup: "MC_Group_Demo_westeurope", SKU: &v1beta1.SKU{Name: "Base", Tier: "Free"},
		NetworkProfile: v1beta1.NetworkProfile{
			NetworkPlugin: "azure", NetworkPluginMode: "overlay", NetworkPolicy: "none",
			PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.0.0.0/16", DNSServiceIP: "100.65.0.10",
		},
	}
}

func poolSpec(count int32) v1beta1.AgentPoolSpec {
	return v1beta1.AgentPoolSpec{ResourceGroup: "Group", ClusterName: "Demo", AgentPoolProfile: poolProfile(count)}
}

func poolProfile(count int32) v1beta1.AgentPoolProfile {
	return v1beta1.AgentPoolProfile{
		Name: "nodepool1", Count: &count, VMSize: "Standard_D2s_v5", OSDiskSizeGB: 128, MaxPods: 110,
		OSType: "Linux", OSSKU: "Debian", Type: "VirtualMachineScaleSets", Mode: "System", ScaleDownMode: "Delete",
	}
}

func (w *world) clusterName() string { return v1beta1.ObjectName("Group", "Demo") }
func (w *world) poolName() string    { return v1beta1.ObjectName("Group", "Demo", "nodepool1") }

func (w *world) createOperation(name string) *v1beta1.Operation {
	spec := clusterSpec()
	return &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationPut, State: v1beta1.StateCreating,
			Target:  v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: w.clusterName(), ResourceID: "/demo"},
			Desired: &v1beta1.DesiredState{Cluster: &spec, AgentPools: []v1beta1.AgentPoolSpec{poolSpec(1)}},
		},
	}
}

func (w *world) scaleOperation(name string, count int32) *v1beta1.Operation {
	return &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationPut, State: v1beta1.StateScaling,
			Target:  v1beta1.OperationTarget{Kind: v1beta1.TargetAgentPool, Name: w.poolName(), ResourceID: "/demo/nodepool1"},
			Desired: &v1beta1.DesiredState{AgentPools: []v1beta1.AgentPoolSpec{poolSpec(count)}},
		},
	}
}

func (w *world) deleteOperation(name string) *v1beta1.Operation {
	return &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationDelete, State: v1beta1.StateDeleting,
			Target: v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: w.clusterName(), ResourceID: "/demo"},
		},
	}
}

// request does what an ARM handler does, in the process under test. A customer
// whose request died with the process asks again, and is told when the first one
// is under way after all.
func (w *world) request(op *v1beta1.Operation) {
	w.t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(w.t.Context(), pollEvery, patience, true, func(ctx context.Context) (bool, error) {
		var stored v1beta1.Operation
		err := w.client.Get(ctx, client.ObjectKeyFromObject(op), &stored)
		if err == nil {
			return true, nil
		}
		if !apierrors.IsNotFound(err) {
			return false, err
		}
		last = operation.Begin(ctx, w.live().client, w.client, op.DeepCopy())
		return last == nil, nil
	})
	if err != nil {
		w.t.Fatalf("request %s: %v (%v)", op.Name, err, last)
	}
}

// live is the current process; one that was killed is first replaced.
func (w *world) live() *process {
	w.mu.Lock()
	p := w.process
	w.mu.Unlock()
	if !p.guard.isDead() {
		return p
	}
	<-p.ended
	w.deaths = append(w.deaths, p.guard.last)
	return w.start(w.nextGuard())
}

// finish waits for an operation's end and returns it.
func (w *world) finish(name string) *v1beta1.Operation {
	w.t.Helper()
	var op v1beta1.Operation
	err := wait.PollUntilContextTimeout(w.t.Context(), pollEvery, patience, true, func(ctx context.Context) (bool, error) {
		w.live()
		if err := w.client.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, &op); err != nil {
			return false, err
		}
		return operation.Finished(&op), nil
	})
	if err != nil {
		w.t.Fatalf("operation %s is %q: %v\n%s", name, op.Status.Status, err, w.dump())
	}
	return &op
}

func (w *world) succeed(name string) {
	w.t.Helper()
	if op := w.finish(name); op.Status.Status != v1beta1.OperationSucceeded {
		w.t.Fatalf("operation %s: %s %+v\n%s", name, op.Status.Status, op.Status.Error, w.dump())
	}
}

// dump shows the state for a test that fails.
func (w *world) dump() string {
	var out strings.Builder
	var clusters v1beta1.ManagedClusterList
	var pools v1beta1.AgentPoolList
	var machines v1beta1.MachineList
	for _, list := range []client.ObjectList{&clusters, &pools, &machines} {
		if err := w.client.List(context.Background(), list); err != nil {
			return err.Error()
		}
	}
	for _, o := range clusters.Items {
		fmt.Fprintf(&out, "cluster %s deleting %v status %+v\n", o.Name, o.DeletionTimestamp, o.Status)
	}
	for _, o := range pools.Items {
		fmt.Fprintf(&out, "pool %s generation %d deleting %v status %+v\n", o.Name, o.Generation, o.DeletionTimestamp, o.Status)
	}
	for _, o := range machines.Items {
		fmt.Fprintf(&out, "machine %s deleting %v status %+v\n", o.Name, o.DeletionTimestamp, o.Status)
	}
	return out.String()
}

// change changes an object as it is now: controllers may change it, or its status, at the same time.
func (w *world) change(object client.Object, change func(), options ...client.UpdateOption) {
	w.t.Helper()
	if err := changeNow(w.t.Context(), w.client, object, change, options...); err != nil {
		w.t.Fatalf("change %T %s: %v", object, object.GetName(), err)
	}
}

func changeNow(ctx context.Context, c client.Client, object client.Object, change func(), options ...client.UpdateOption) error {
	key := client.ObjectKeyFromObject(object)
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		reflect.ValueOf(object).Elem().SetZero() // what is read into an object adds to what it has
		if err := c.Get(ctx, key, object); err != nil {
			return err
		}
		change()
		return c.Update(ctx, object, options...)
	})
}
