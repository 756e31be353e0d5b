package machine

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/machine/memory"
)

// noTenants answers for no cluster.
type noTenants struct{}

func (noTenants) Client(context.Context, string) (client.WithWatch, error) {
	return nil, errors.New("no cluster")
}

// A script whose operation has ended is not run, and one that ends late leaves alone what
// its machine was asked for meanwhile.
func TestScriptsOfOperationsThatEnded(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		why       string
		status    v1beta1.OperationStatusCode
		overtaken bool
		runs      int
		operation string
		state     v1beta1.OperationStatusCode
	}{
		{"under way", v1beta1.OperationInProgress, false, 1, "op", v1beta1.OperationSucceeded},
		{"given up", v1beta1.OperationFailed, false, 0, "op", v1beta1.OperationFailed},
		{"canceled", v1beta1.OperationCanceled, false, 0, "op", v1beta1.OperationFailed},
		{"overtaken while it runs", v1beta1.OperationInProgress, true, 1, "restart", v1beta1.OperationInProgress},
	} {
		op := &v1beta1.Operation{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "op"}, Status: v1beta1.OperationStatus{Status: c.status}}
		object := &v1beta1.Machine{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "m"},
			Spec: v1beta1.MachineSpec{ClusterID: "id", NodeName: "node",
				Requested: &v1beta1.InstanceRequest{Action: v1beta1.InstanceRunCommand, Operation: "op", Time: metav1.Now()}},
		}
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: v1beta1.RunCommandSecret("op")}, Data: map[string][]byte{v1beta1.RunCommandScript: []byte(`{}`)},
		}
		store := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(object).WithObjects(op, object, secret).Build()
		key, runs := client.ObjectKeyFromObject(object), 0
		machines := memory.New()
		machines.Prompt = true
		machines.Script = func(machine.Ref, machine.Command) (machine.Result, error) {
			runs++
			if c.overtaken {
				return machine.Result{}, overtake(t.Context(), store, key)
			}
			return machine.Result{}, nil
		}
		if err := machines.Ensure(t.Context(), machine.Machine{Ref: machine.Ref{ClusterID: "id", Name: "node"}}); err != nil {
			t.Fatal(err)
		}
		commander := NewCommander(store, store, Config{Provider: machines, Tenants: noTenants{}, Now: time.Now})
		for range 2 {
			if _, err := commander.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Get(t.Context(), key, object); err != nil {
			t.Fatal(err)
		}
		if progress := object.Status.Instance; runs != c.runs || progress.Operation != c.operation || progress.State != c.state {
			t.Errorf("%s: %d runs, %+v", c.why, runs, progress)
		}
	}
}

// overtake has the machine at something else.
func overtake(ctx context.Context, store client.Client, key client.ObjectKey) error {
	object := &v1beta1.Machine{}
	if err := store.Get(ctx, key, object); err != nil {
		return err
	}
	object.Spec.Requested = &v1beta1.InstanceRequest{Action: v1beta1.InstanceRestart, Operation: "restart", Time: metav1.Now()}
	if err := store.Update(ctx, object); err != nil {
		return err
	}
	object.Status.Instance = &v1beta1.InstanceProgress{Operation: "restart", Action: v1beta1.InstanceRestart, State: v1beta1.OperationInProgress}
	return store.Status().Update(ctx, object)
}
