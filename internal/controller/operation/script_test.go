package operation

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
)

// A script goes with the end of its operation, whatever that is; what came of it stays.
func TestScriptsAreForgotten(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	for _, code := range []v1beta1.OperationStatusCode{v1beta1.OperationSucceeded, v1beta1.OperationFailed, v1beta1.OperationCanceled} {
		op := &v1beta1.Operation{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "op"},
			Spec:       v1beta1.OperationSpec{Type: v1beta1.OperationInstances, Instances: &v1beta1.InstancesOperation{Action: v1beta1.InstanceRunCommand}},
		}
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: v1beta1.RunCommandSecret("op")},
			Data:       map[string][]byte{v1beta1.RunCommandScript: []byte("secret"), v1beta1.RunCommandResult: []byte("result")},
		}
		c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(op).WithObjects(op, secret).Build()
		r := &reconciler{Config: Config{Now: time.Now}, client: c, reader: c}
		if err := r.end(t.Context(), op, verdict{code: code}); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
			t.Fatal(err)
		}
		if len(secret.Data) != 1 || string(secret.Data[v1beta1.RunCommandResult]) != "result" || op.Status.Status != code {
			t.Errorf("%s: %q, %s", code, secret.Data, op.Status.Status)
		}
	}
}
