package operation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// maxLabelValue is the longest label value that Kubernetes takes.
const maxLabelValue = 63

// LabelValue fits an object name into a label's value: a longer one keeps its
// head and ends in a hash of the whole.
func LabelValue(objectName string) string {
	if len(objectName) <= maxLabelValue {
		return objectName
	}
	sum := sha256.Sum256([]byte(objectName))
	return objectName[:maxLabelValue-11] + "-" + hex.EncodeToString(sum[:5])
}

// refuseBusy returns a *BusyError when the target, its cluster or one of its
// pools is held. A delete is never refused, nor is an abort.
func refuseBusy(ctx context.Context, reader client.Reader, op *v1beta1.Operation) error {
	if op.Spec.Type == v1beta1.OperationInstances {
		return refuseBusyInstances(ctx, reader, op)
	}
	if op.Spec.Type != v1beta1.OperationPut {
		return nil
	}
	for _, object := range related(op) {
		key := client.ObjectKeyFromObject(object)
		err := reader.Get(ctx, key, object)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if err := refuseHeld(ctx, reader, object, op); err != nil {
			return err
		}
	}
	return refuseBusyPools(ctx, reader, op)
}

// related lists the objects whose operations exclude this one: for a pool its
// cluster, and every object that the operation writes.
func related(op *v1beta1.Operation) []client.Object {
	var objects []client.Object
	add := func(object client.Object, names ...string) {
		object.SetNamespace(op.Namespace)
		object.SetName(v1beta1.ObjectName(names...))
		objects = append(objects, object)
	}
	if op.Spec.Desired == nil {
		return nil
	}
	if cluster := op.Spec.Desired.Cluster; cluster != nil {
		add(&v1beta1.ManagedCluster{}, cluster.ResourceGroup, cluster.Name)
	}
	for _, pool := range op.Spec.Desired.AgentPools {
		add(&v1beta1.ManagedCluster{}, pool.ResourceGroup, pool.ClusterName)
		add(&v1beta1.AgentPool{}, pool.ResourceGroup, pool.ClusterName, pool.Name)
	}
	return objects
}

// refuseBusyPools refuses a cluster operation while any pool of the cluster is held.
func refuseBusyPools(ctx context.Context, reader client.Reader, op *v1beta1.Operation) error {
	if op.Spec.Target.Kind != v1beta1.TargetManagedCluster {
		return nil
	}
	var pools v1beta1.AgentPoolList
	selector := client.MatchingLabels{v1beta1.LabelCluster: LabelValue(op.Spec.Target.Name)}
	if err := reader.List(ctx, &pools, client.InNamespace(op.Namespace), selector); err != nil {
		return fmt.Errorf("list pools of %s: %w", op.Spec.Target.Name, err)
	}
	for i := range pools.Items {
		if err := refuseHeld(ctx, reader, &pools.Items[i], op); err != nil {
			return err
		}
	}
	return nil
}

func refuseHeld(ctx context.Context, reader client.Reader, object client.Object, op *v1beta1.Operation) error {
	holder, err := Active(ctx, reader, object)
	if err != nil {
		return err
	}
	if holder != nil && holder.Name != op.Name {
		return &BusyError{Target: object.GetName(), Operation: holder}
	}
	if holder == nil && !object.GetDeletionTimestamp().IsZero() {
		return fmt.Errorf("%s is being deleted", object.GetName())
	}
	return nil
}
