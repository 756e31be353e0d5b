// Package operation begins asynchronous requests so that they survive a crash:
// the Operation is written first, then its target is claimed and its desired
// state written, in steps that can be repeated.
//
// A target is claimed by an annotation that is written in the same update as the
// desired state, under the object's resourceVersion. Two requests can therefore
// never both hold a target, however many servers take requests.
package operation

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// BusyError says that another unfinished operation holds the target. ARM answers
// it with 409 OperationNotAllowed.
type BusyError struct {
	// Target is the object that is held and Operation what holds it.
	Target    string
	Operation *v1beta1.Operation
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("another operation (%s - %s) is in progress on %s", e.Operation.Spec.Target.Name, e.Operation.Spec.State, e.Target)
}

// Finished says whether an operation has ended.
func Finished(op *v1beta1.Operation) bool {
	switch op.Status.Status {
	case v1beta1.OperationSucceeded, v1beta1.OperationFailed, v1beta1.OperationCanceled:
		return true
	default:
		return false
	}
}

// Begin writes the operation and then does what Apply does. When the target is
// held by another operation it ends the new one as Canceled and returns a
// *BusyError. Reads go to the reader, which must not be a cache.
func Begin(ctx context.Context, c client.Client, reader client.Reader, op *v1beta1.Operation) error {
	if err := refuseBusy(ctx, reader, op); err != nil {
		return err
	}
	if desired := op.Spec.Desired; desired != nil && desired.Cluster != nil && desired.Cluster.ID == "" {
		desired.Cluster.ID = NewClusterID()
	}
	if err := c.Create(ctx, op); err != nil {
		return fmt.Errorf("write operation %s: %w", op.Name, err)
	}
	err := Apply(ctx, c, reader, op)
	if err == nil {
		return nil
	}
	if refusal := refused(err); refusal != nil {
		if endErr := End(ctx, c, op, v1beta1.OperationCanceled, refusal, time.Now()); endErr != nil {
			return endErr
		}
	}
	return err
}

// Apply claims the operation's targets and writes their desired state. It may be
// called again after a crash at any line and then finishes what is missing.
func Apply(ctx context.Context, c client.Client, reader client.Reader, op *v1beta1.Operation) error {
	switch op.Spec.Type {
	case v1beta1.OperationDelete:
		return applyDelete(ctx, c, reader, op)
	case v1beta1.OperationAbort:
		return applyAbort(ctx, c, reader, op)
	case v1beta1.OperationInstances:
		return applyInstances(ctx, c, reader, op)
	default:
		return applyPut(ctx, c, reader, op)
	}
}

// End writes an operation's result. An operation that has already ended keeps its
// first result.
func End(ctx context.Context, c client.Client, op *v1beta1.Operation, code v1beta1.OperationStatusCode, cause *v1beta1.OperationError, now time.Time) error {
	if Finished(op) {
		return nil
	}
	end := metav1.NewTime(now)
	op.Status.Status, op.Status.EndTime, op.Status.Error = code, &end, cause
	if op.Status.StartTime == nil {
		op.Status.StartTime = op.CreationTimestamp.DeepCopy()
	}
	if err := c.Status().Update(ctx, op); err != nil {
		return fmt.Errorf("end operation %s as %s: %w", op.Name, code, err)
	}
	return nil
}

// Active returns the unfinished operation that holds the object, or nil.
func Active(ctx context.Context, reader client.Reader, object client.Object) (*v1beta1.Operation, error) {
	id := object.GetAnnotations()[v1beta1.AnnotationOperation]
	if id == "" {
		return nil, nil
	}
	var op v1beta1.Operation
	err := reader.Get(ctx, client.ObjectKey{Namespace: object.GetNamespace(), Name: id}, &op)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read operation %s: %w", id, err)
	}
	if Finished(&op) {
		return nil, nil
	}
	return &op, nil
}

// refused turns an error that no retry can mend into an operation's error.
func refused(err error) *v1beta1.OperationError {
	var busy *BusyError
	switch {
	case asBusy(err, &busy):
		return &v1beta1.OperationError{Code: "OperationNotAllowed", Message: busy.Error()}
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
		return &v1beta1.OperationError{Code: "BadRequest", Message: "the management cluster refused the desired state: " + err.Error()}
	default:
		return nil
	}
}
