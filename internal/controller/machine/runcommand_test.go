package machine

import (
	"context"
	"errors"
	"strings"
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
		notRun    string
	}{
		{"under way", v1beta1.OperationInProgress, false, 1, "op", v1beta1.OperationSucceeded, ""},
		{"given up", v1beta1.OperationFailed, false, 0, "op", v1beta1.OperationFailed, ""},
		{"canceled", v1beta1.OperationCanceled, false, 0, "op", v1beta1.OperationFailed, ""},
		{"overtaken while it runs", v1beta1.OperationInProgress, true, 1, "restart", v1beta1.OperationInProgress, ""},
		{"the node patches itself: nothing is settled, and whoever asked learns why", v1beta1.OperationInProgress, false, 1, "op", v1beta1.OperationFailed, "it installs patches"},
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
			return machine.Result{NotRun: c.notRun}, nil
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
		if failure := object.Status.Instance.Error; c.notRun != "" && (failure == nil || failure.Code != "Conflict" || !strings.Contains(failure.Message, c.notRun)) {
			t.Errorf("%s: %+v", c.why, failure)
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

// oneTenant answers with the same client for every cluster.
type oneTenant struct{ client.WithWatch }

func (t oneTenant) Client(context.Context, string) (client.WithWatch, error) { return t.WithWatch, nil }

// What a script changed counts also where nobody saw its end: the stream broke, as when the
// script ends what runs it, or Berth was ended meanwhile (G2). What is gone with a restart,
// or may be the work of a customer's pod (G5), does not.
func TestChangesOfScriptsThatNobodySawEnd(t *testing.T) {
	mighty := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "tuner"},
		Spec:       corev1.PodSpec{NodeName: "node", HostPID: true},
	}
	for _, c := range []struct {
		why    string
		begun  bool // by a process that is gone
		reboot bool
		silent int // how often the machine does not answer
		pods   []client.Object
		goes   bool // the pods go while the script runs
		want   string
	}{
		{"the stream broke", false, false, 0, nil, false, "/etc/passwd"},
		{"the machine tells at the third try", false, false, 2, nil, false, "/etc/passwd"},
		{"the machine never tells", false, false, settleTries, nil, false, ""},
		{"Berth was ended", true, false, 0, nil, false, "/etc/passwd"},
		{"the machine started again", true, true, 0, nil, false, ""},
		{"a pod could have done it", false, false, 0, []client.Object{mighty}, false, ""},
		{"a pod could have done it since", true, false, 0, []client.Object{mighty}, false, ""},
		{"a pod could have done it, and is gone", false, false, 0, []client.Object{mighty}, true, ""},
	} {
		scheme := runtime.NewScheme()
		for _, add := range []func(*runtime.Scheme) error{v1beta1.AddToScheme, corev1.AddToScheme} {
			if err := add(scheme); err != nil {
				t.Fatal(err)
			}
		}
		ref := machine.Ref{ClusterID: "id", Name: "node"}
		machines := memory.New()
		machines.Prompt = true
		tenant := fake.NewClientBuilder().WithScheme(scheme).WithObjects(c.pods...).
			WithIndex(&corev1.Pod{}, "spec.nodeName", func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }).Build()
		machines.Script = func(_ machine.Ref, command machine.Command) (machine.Result, error) {
			// Else nobody could wait for its end, and the next one would be blamed for it.
			if command.Name != "op" {
				t.Errorf("%s: what is kept is named %q", c.why, command.Name)
			}
			if !command.Settle {
				if c.goes {
					if err := tenant.Delete(t.Context(), c.pods[0]); err != nil {
						t.Error(err)
					}
				}
				return machine.Result{}, errors.New("the stream broke")
			}
			if c.silent--; c.silent >= 0 {
				return machine.Result{}, errors.New("no answer")
			}
			return machine.Result{Changed: []string{"/etc/passwd"}, ChangedCount: 1}, nil
		}
		if err := machines.Ensure(t.Context(), machine.Machine{Ref: ref}); err != nil {
			t.Fatal(err)
		}
		seen, err := machines.Observe(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		object := &v1beta1.Machine{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "m"},
			Spec: v1beta1.MachineSpec{ClusterID: ref.ClusterID, NodeName: ref.Name,
				Requested: &v1beta1.InstanceRequest{Action: v1beta1.InstanceRunCommand, Operation: "op", RequestedBy: "someone", Time: metav1.Now()}},
		}
		if c.begun {
			object.Status.Instance = &v1beta1.InstanceProgress{
				Operation: "op", Action: v1beta1.InstanceRunCommand, State: v1beta1.OperationInProgress, Incarnation: seen.Incarnation, Boots: seen.Boots,
			}
		}
		if c.reboot {
			if err := machines.Reboot(t.Context(), ref, seen); err != nil {
				t.Fatal(err)
			}
		}
		op := &v1beta1.Operation{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "op"}, Status: v1beta1.OperationStatus{Status: v1beta1.OperationInProgress}}
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: v1beta1.RunCommandSecret("op")}, Data: map[string][]byte{v1beta1.RunCommandScript: []byte(`{}`)},
		}
		store := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(object).WithObjects(op, object, secret).Build()
		commander := NewCommander(store, store, Config{Provider: machines, Tenants: oneTenant{tenant}, SettleAgain: time.Millisecond})
		if _, err := commander.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)}); err != nil {
			t.Fatal(err)
		}
		if err := store.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
		got := ""
		if files := object.Status.ChangedFiles; files != nil {
			got = files.Paths[0]
			if files.RequestedBy != "someone" || files.Incarnation != seen.Incarnation || files.Boots != seen.Boots {
				t.Errorf("%s: %+v", c.why, files)
			}
		}
		if got != c.want || object.Status.Instance.State != v1beta1.OperationFailed {
			t.Errorf("%s: %q, %+v", c.why, got, object.Status.Instance)
		}
	}
}
