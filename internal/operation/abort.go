package operation

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// Aborted says whether the operation that holds an object was aborted.
func Aborted(object client.Object) bool {
	held := object.GetAnnotations()[v1beta1.AnnotationOperation]
	return held != "" && held == object.GetAnnotations()[v1beta1.AnnotationAbort]
}

// applyAbort marks everything that the aborted operation holds, so that its
// controllers begin nothing new. What it does not hold any more is left alone.
func applyAbort(ctx context.Context, c client.Client, reader client.Reader, op *v1beta1.Operation) error {
	aborted := &v1beta1.Operation{}
	err := reader.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: op.Spec.Aborts}, aborted)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read operation %s: %w", op.Spec.Aborts, err)
	}
	for _, object := range Written(aborted) {
		key := client.ObjectKeyFromObject(object)
		err := reader.Get(ctx, key, object)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if object.GetAnnotations()[v1beta1.AnnotationOperation] != aborted.Name || Aborted(object) {
			continue
		}
		object.SetAnnotations(merged(object.GetAnnotations(), map[string]string{v1beta1.AnnotationAbort: aborted.Name}))
		if err := c.Update(ctx, object); err != nil {
			return fmt.Errorf("mark %s as aborted: %w", key, err)
		}
	}
	return nil
}

// Written lists, by name alone, the objects that an operation's desired state is
// written to.
func Written(op *v1beta1.Operation) []client.Object {
	if op.Spec.Desired == nil {
		return nil
	}
	var objects []client.Object
	add := func(object client.Object, names ...string) {
		object.SetNamespace(op.Namespace)
		object.SetName(v1beta1.ObjectName(names...))
		objects = append(objects, object)
	}
	if cluster := op.Spec.Desired.Cluster; cluster != nil {
		add(&v1beta1.ManagedCluster{}, cluster.ResourceGroup, cluster.Name)
	}
	for _, pool := range op.Spec.Desired.AgentPools {
		add(&v1beta1.AgentPool{}, pool.ResourceGroup, pool.ClusterName, pool.Name)
	}
	return objects
}
