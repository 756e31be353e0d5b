package operation

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

func asBusy(err error, busy **BusyError) bool { return errors.As(err, busy) }

// newTarget returns an empty object of the target's kind.
func newTarget(kind v1beta1.TargetKind) client.Object {
	switch kind {
	case v1beta1.TargetAgentPool:
		return &v1beta1.AgentPool{}
	case v1beta1.TargetResourceGroup:
		return &v1beta1.ResourceGroup{}
	default:
		return &v1beta1.ManagedCluster{}
	}
}

// applyPut writes the cluster first and then its pools: a pool is never left
// without its cluster.
func applyPut(ctx context.Context, c client.Client, reader client.Reader, op *v1beta1.Operation) error {
	desired := op.Spec.Desired
	if desired == nil {
		return fmt.Errorf("operation %s: a Put without a desired state", op.Name)
	}
	if desired.Cluster != nil {
		if err := putCluster(ctx, c, reader, op); err != nil {
			return err
		}
	}
	for i := range desired.AgentPools {
		if err := putPool(ctx, c, reader, op, &desired.AgentPools[i]); err != nil {
			return err
		}
	}
	return nil
}

func putCluster(ctx context.Context, c client.Client, reader client.Reader, op *v1beta1.Operation) error {
	spec := op.Spec.Desired.Cluster
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{
		Namespace: op.Namespace,
		Name:      v1beta1.ObjectName(spec.ResourceGroup, spec.Name),
		Labels:    map[string]string{v1beta1.LabelResourceGroup: LabelValue(v1beta1.ObjectName(spec.ResourceGroup))},
	}}
	return put(ctx, c, reader, op, cluster, func() {
		id := cluster.Spec.ID
		spec.DeepCopyInto(&cluster.Spec)
		if id != "" {
			cluster.Spec.ID = id
		}
	})
}

func putPool(ctx context.Context, c client.Client, reader client.Reader, op *v1beta1.Operation, spec *v1beta1.AgentPoolSpec) error {
	clusterName := v1beta1.ObjectName(spec.ResourceGroup, spec.ClusterName)
	pool := &v1beta1.AgentPool{ObjectMeta: metav1.ObjectMeta{
		Namespace: op.Namespace,
		Name:      v1beta1.ObjectName(spec.ResourceGroup, spec.ClusterName, spec.Name),
		Labels: map[string]string{
			v1beta1.LabelResourceGroup: LabelValue(v1beta1.ObjectName(spec.ResourceGroup)),
			v1beta1.LabelCluster:       LabelValue(clusterName),
		},
	}}
	return put(ctx, c, reader, op, pool, func() { spec.DeepCopyInto(&pool.Spec) })
}

// put creates the object, or updates it if no other operation holds it.
func put(ctx context.Context, c client.Client, reader client.Reader, op *v1beta1.Operation, object client.Object, setSpec func()) error {
	key := client.ObjectKeyFromObject(object)
	labels := object.GetLabels()
	err := reader.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		setSpec()
		claim(object, op)
		object.SetResourceVersion("")
		object.SetFinalizers([]string{v1beta1.Finalizer})
		if err := c.Create(ctx, object); err != nil {
			return fmt.Errorf("create %s: %w", key, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if object.GetAnnotations()[v1beta1.AnnotationOperation] == op.Name {
		return nil
	}
	if err := refuseHeld(ctx, reader, object, op); err != nil {
		return err
	}
	setSpec()
	claim(object, op)
	object.SetLabels(merged(object.GetLabels(), labels))
	if err := c.Update(ctx, object); err != nil {
		return fmt.Errorf("update %s: %w", key, err)
	}
	return nil
}

// applyDelete claims the target whatever holds it and deletes it: a delete
// preempts (AKS: OperationPreempted).
func applyDelete(ctx context.Context, c client.Client, reader client.Reader, op *v1beta1.Operation) error {
	object := newTarget(op.Spec.Target.Kind)
	key := client.ObjectKey{Namespace: op.Namespace, Name: op.Spec.Target.Name}
	if err := reader.Get(ctx, key, object); err != nil {
		return client.IgnoreNotFound(err)
	}
	if object.GetAnnotations()[v1beta1.AnnotationOperation] != op.Name {
		if object.GetCreationTimestamp().After(op.CreationTimestamp.Time) {
			return nil
		}
		claim(object, op)
		if err := c.Update(ctx, object); err != nil {
			return fmt.Errorf("claim %s: %w", key, err)
		}
	}
	uid := object.GetUID()
	if err := c.Delete(ctx, object, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

func claim(object client.Object, op *v1beta1.Operation) {
	object.SetAnnotations(merged(object.GetAnnotations(), map[string]string{v1beta1.AnnotationOperation: op.Name}))
}

func merged(base, over map[string]string) map[string]string {
	out := make(map[string]string, len(base)+len(over))
	for k, v := range base {
		out[k] = v
	}
	for k, v := range over {
		out[k] = v
	}
	return out
}
