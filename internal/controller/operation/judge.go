package operation

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

// target is what is seen of one object that an operation works on.
type target struct {
	name string
	// exists and deleting: there is such an object, and it is on its way out.
	exists, deleting bool
	// later: the object was made after the operation, under the name of what it meant.
	later bool
	// held: the object carries this operation's desired state.
	held bool
	// settled: the object's status describes its spec as it is now, and this
	// operation's attempt at it.
	settled bool
	// aborted: what this operation asked for is not to be worked on any further.
	aborted bool
	state   v1beta1.ProvisioningState
	cause   *v1beta1.OperationError
	// waits is what its controller says that it waits for, for people.
	waits string
}

// verdict is how an operation stands.
type verdict struct {
	code  v1beta1.OperationStatusCode
	cause *v1beta1.OperationError
}

// preempted is the end of a Put whose target was deleted meanwhile (AKS:
// manage-abort-operations).
func preempted() verdict {
	return verdict{v1beta1.OperationCanceled, &v1beta1.OperationError{
		Code:    "OperationPreempted",
		Message: "Cannot proceed with the operation: it was preempted by a delete of the resource.",
	}}
}

// aborted is the end of a Put that was aborted (AKS: manage-abort-operations).
func aborted() verdict {
	return verdict{v1beta1.OperationCanceled, &v1beta1.OperationError{
		Code:    "OperationPreempted",
		Message: "The operation was aborted. What it had done stays; update the resource to go on.",
	}}
}

// claimed says whether every target carries what the operation asks for.
func claimed(op *v1beta1.Operation, targets []target) bool {
	for _, t := range targets {
		switch op.Spec.Type {
		case v1beta1.OperationDelete:
			if t.exists && !t.deleting {
				return false
			}
		case v1beta1.OperationInstances:
			if t.exists && !t.deleting && !t.held && !t.later {
				return false
			}
		default:
			if !t.held {
				return false
			}
		}
	}
	return true
}

// judge decides how an operation stands whose targets were all claimed once.
func judge(op *v1beta1.Operation, targets []target, late bool) verdict {
	if op.Spec.Type == v1beta1.OperationInstances && op.Spec.Instances == nil {
		return verdict{v1beta1.OperationFailed, &v1beta1.OperationError{Code: "BadRequest", Message: "the operation does not say what it asks of which machines"}}
	}
	result := verdict{code: v1beta1.OperationSucceeded}
	for _, t := range targets {
		switch v := judgeOne(op, t); v.code {
		case v1beta1.OperationFailed, v1beta1.OperationCanceled:
			return v
		case v1beta1.OperationInProgress:
			result = v
		}
	}
	// A delete is never given up: it goes on until nothing is left.
	if result.code == v1beta1.OperationInProgress && late && bounded(op) && !upgrading(targets) {
		return verdict{v1beta1.OperationFailed, timedOut(targets)}
	}
	return result
}

// timedOut says what the targets wait for that came to no end.
func timedOut(targets []target) *v1beta1.OperationError {
	text := "the operation did not come to an end in time; it is still being worked on"
	for _, t := range targets {
		if t.waits != "" {
			text += "; " + t.name + ": " + t.waits
		}
	}
	return &v1beta1.OperationError{Code: "OperationTimeout", Message: text}
}

// bounded says whether an operation is given up in the end. A delete is not.
func bounded(op *v1beta1.Operation) bool {
	return op.Spec.Type == v1beta1.OperationPut || op.Spec.Type == v1beta1.OperationInstances && !op.Spec.Instances.Asks(v1beta1.InstanceDelete)
}

// upgrading says whether a target replaces its nodes or its control plane one
// after the other, which takes what it takes: its controller sees whether it
// stands still.
func upgrading(targets []target) bool {
	return slices.ContainsFunc(targets, func(t target) bool {
		return t.settled && (t.state == v1beta1.StateUpgrading || t.state == v1beta1.StateUpgradingNodeImage)
	})
}

func judgeOne(op *v1beta1.Operation, t target) verdict {
	if op.Spec.Type == v1beta1.OperationInstances && op.Spec.Instances.Asks(v1beta1.InstanceDelete) {
		// Whoever holds the machine by now asks for its removal too, as nothing else preempts one.
		if t.exists && !t.later {
			return verdict{code: v1beta1.OperationInProgress}
		}
		return verdict{code: v1beta1.OperationSucceeded}
	}
	if op.Spec.Type == v1beta1.OperationDelete {
		// What is there and not on its way out was made anew since.
		if t.exists && t.deleting {
			return verdict{code: v1beta1.OperationInProgress}
		}
		return verdict{code: v1beta1.OperationSucceeded}
	}
	switch {
	case !t.exists, t.deleting, !t.held:
		return preempted()
	case t.aborted:
		return aborted()
	case !t.settled:
		return verdict{code: v1beta1.OperationInProgress}
	case t.state == v1beta1.StateSucceeded:
		return verdict{code: v1beta1.OperationSucceeded}
	case t.state == v1beta1.StateFailed:
		return verdict{v1beta1.OperationFailed, causeOf(t)}
	case t.state == v1beta1.StateCanceled:
		return verdict{v1beta1.OperationCanceled, causeOf(t)}
	default:
		return verdict{code: v1beta1.OperationInProgress}
	}
}

func causeOf(t target) *v1beta1.OperationError {
	if t.cause != nil {
		return t.cause
	}
	return &v1beta1.OperationError{Code: "InternalError", Message: fmt.Sprintf("%s is %s", t.name, t.state)}
}

// look reads every object that the operation works on.
func (r *reconciler) look(ctx context.Context, op *v1beta1.Operation) ([]target, error) {
	var targets []target
	for _, object := range objectsOf(op) {
		key := client.ObjectKeyFromObject(object)
		err := r.reader.Get(ctx, key, object)
		if apierrors.IsNotFound(err) {
			targets = append(targets, target{name: key.Name})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		targets = append(targets, describe(op, object))
	}
	return targets, nil
}

func describe(op *v1beta1.Operation, object client.Object) target {
	t := target{
		name: object.GetName(), exists: true, deleting: !object.GetDeletionTimestamp().IsZero(),
		held:    object.GetAnnotations()[v1beta1.AnnotationOperation] == op.Name,
		aborted: operation.Aborted(object),
	}
	created := object.GetCreationTimestamp()
	t.later = created.After(op.CreationTimestamp.Time)
	switch o := object.(type) {
	case *v1beta1.ManagedCluster:
		t.settled = o.Status.ObservedGeneration == o.Generation && o.Status.ObservedOperation == op.Name
		t.state, t.cause = o.Status.ProvisioningState, o.Status.Error
	case *v1beta1.AgentPool:
		t.settled = o.Status.ObservedGeneration == o.Generation && o.Status.ObservedOperation == op.Name
		t.state, t.cause = o.Status.ProvisioningState, o.Status.Error
		if converged := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionConverged); converged != nil {
			t.waits = converged.Message
		}
	case *v1beta1.Machine:
		describeMachine(&t, op, o)
	case *v1beta1.ResourceGroup:
		t.settled, t.state = true, o.Status.ProvisioningState
	}
	return t
}

// describeMachine tells how far an instance has come. One that came to its end shows
// nothing until it is asked for something else.
func describeMachine(t *target, op *v1beta1.Operation, machine *v1beta1.Machine) {
	progress := machine.Status.Instance
	if progress == nil || progress.Operation != op.Name {
		return
	}
	t.settled, t.cause = true, progress.Error
	t.state = map[v1beta1.OperationStatusCode]v1beta1.ProvisioningState{
		v1beta1.OperationSucceeded: v1beta1.StateSucceeded, v1beta1.OperationFailed: v1beta1.StateFailed,
		v1beta1.OperationCanceled: v1beta1.StateCanceled, v1beta1.OperationInProgress: v1beta1.StateUpdating,
	}[progress.State]
}

// objectsOf lists what a Put writes, or what a Delete removes.
func objectsOf(op *v1beta1.Operation) []client.Object {
	if op.Spec.Type == v1beta1.OperationPut && op.Spec.Desired != nil {
		return operation.Written(op)
	}
	var objects []client.Object
	add := func(object client.Object, name string) {
		object.SetNamespace(op.Namespace)
		object.SetName(name)
		objects = append(objects, object)
	}
	switch op.Spec.Target.Kind {
	case v1beta1.TargetScaleSet:
		if op.Spec.Instances == nil {
			break
		}
		for _, name := range op.Spec.Instances.Machines {
			add(&v1beta1.Machine{}, name)
		}
	case v1beta1.TargetManagedCluster:
		add(&v1beta1.ManagedCluster{}, op.Spec.Target.Name)
	case v1beta1.TargetAgentPool:
		add(&v1beta1.AgentPool{}, op.Spec.Target.Name)
	case v1beta1.TargetResourceGroup:
		add(&v1beta1.ResourceGroup{}, op.Spec.Target.Name)
	}
	return objects
}
