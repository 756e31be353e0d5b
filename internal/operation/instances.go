package operation

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// machinesOf are the machines that the operation names, in one order for all operations:
// two that name the same ones never each hold what the other wants.
func machinesOf(op *v1beta1.Operation) []string {
	if op.Spec.Instances == nil {
		return nil
	}
	return slices.Sorted(slices.Values(op.Spec.Instances.Machines))
}

// applyInstances asks every machine that the operation names for its action. A machine
// that is gone, or going, is left alone.
func applyInstances(ctx context.Context, c client.Client, reader client.Reader, op *v1beta1.Operation) error {
	for _, name := range machinesOf(op) {
		machine := &v1beta1.Machine{}
		key := client.ObjectKey{Namespace: op.Namespace, Name: name}
		err := reader.Get(ctx, key, machine)
		if apierrors.IsNotFound(err) || err == nil && !machine.DeletionTimestamp.IsZero() {
			continue
		}
		if err != nil {
			return fmt.Errorf("read machine %s: %w", key, err)
		}
		if machine.Annotations[v1beta1.AnnotationOperation] == op.Name || machine.CreationTimestamp.After(op.CreationTimestamp.Time) {
			continue
		}
		// A delete preempts whatever the machine is asked for.
		if !op.Spec.Instances.Asks(v1beta1.InstanceDelete) {
			if err := refuseHeld(ctx, reader, machine, op); err != nil {
				return err
			}
		}
		machine.Spec.Requested = &v1beta1.InstanceRequest{
			Action: op.Spec.Instances.Action, Operation: op.Name, Time: op.CreationTimestamp, RequestedBy: op.Spec.RequestedBy,
		}
		claim(machine, op)
		if err := c.Update(ctx, machine); err != nil {
			return fmt.Errorf("ask machine %s: %w", key, err)
		}
	}
	return nil
}

// refuseBusyInstances refuses an action while the service itself is at work on the pool
// or its cluster, or another action on one of the machines.
func refuseBusyInstances(ctx context.Context, reader client.Reader, op *v1beta1.Operation) error {
	pool := &v1beta1.AgentPool{}
	key := client.ObjectKey{Namespace: op.Namespace, Name: op.Spec.Target.Name}
	if err := reader.Get(ctx, key, pool); err != nil {
		return fmt.Errorf("read agent pool %s: %w", key, err)
	}
	cluster := &v1beta1.ManagedCluster{}
	key.Name = v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName)
	if err := reader.Get(ctx, key, cluster); err != nil {
		return fmt.Errorf("read cluster %s: %w", key, err)
	}
	for _, object := range []client.Object{cluster, pool} {
		if err := refuseHeld(ctx, reader, object, op); err != nil {
			return err
		}
	}
	if op.Spec.Instances.Asks(v1beta1.InstanceDelete) {
		return nil
	}
	for _, name := range machinesOf(op) {
		machine := &v1beta1.Machine{}
		err := reader.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: name}, machine)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read machine %s: %w", name, err)
		}
		if err == nil {
			if err := refuseHeld(ctx, reader, machine, op); err != nil {
				return err
			}
		}
	}
	return nil
}
