package operation

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// forgetScript removes the script of an operation that ends, however it does: it may
// hold secrets, and nothing runs it any more. What came of it stays for whoever asked.
func (r *reconciler) forgetScript(ctx context.Context, op *v1beta1.Operation) error {
	if !op.Spec.Instances.Asks(v1beta1.InstanceRunCommand) {
		return nil
	}
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: op.Namespace, Name: v1beta1.RunCommandSecret(op.Name)}
	if err := r.reader.Get(ctx, key, secret); err != nil {
		return wrap(client.IgnoreNotFound(err), "read the script")
	}
	if _, there := secret.Data[v1beta1.RunCommandScript]; !there {
		return nil
	}
	delete(secret.Data, v1beta1.RunCommandScript)
	return wrap(client.IgnoreNotFound(r.client.Update(ctx, secret)), "forget the script")
}

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
