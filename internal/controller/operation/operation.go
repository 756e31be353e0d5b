// Package operation ends asynchronous operations. It finishes what a server that
// died had begun, watches the targets, writes an operation's result when they have
// come to one, and removes operations that ended long ago.
//
// It alone writes an Operation's status, but for the refusal that
// operation.Begin may give an operation that it has just made.
package operation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
)

// AKS's figure, where ServicePolicy has none, and Berth's own.
const (
	defaultRetention   = 24 * time.Hour
	defaultServerGrace = 5 * time.Second
	// lookAgain is how soon a target is looked at that another operation holds by
	// now, and whose events therefore lead there.
	lookAgain = 15 * time.Second
	// abortAgain is how soon an abort looks again whether what it aborts has ended.
	abortAgain = 500 * time.Millisecond
)

// Config is what the controller needs besides the manager.
type Config struct {
	Now func() time.Time
	// ServerGrace is how long the server that took a request may take to write what
	// it asks for, before it is taken for dead; 0 means 5 s.
	ServerGrace time.Duration
}

type reconciler struct {
	Config
	client client.Client
	reader client.Reader // not a cache: a result, once written, stands
}

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ServerGrace == 0 {
		cfg.ServerGrace = defaultServerGrace
	}
	r := &reconciler{Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader()}
	held := handler.EnqueueRequestsFromMapFunc(holder)
	err := ctrl.NewControllerManagedBy(mgr).
		Named("operation").
		For(&v1beta1.Operation{}).
		Watches(&v1beta1.ManagedCluster{}, held).
		Watches(&v1beta1.AgentPool{}, held).
		Watches(&v1beta1.ResourceGroup{}, held).
		Watches(&v1beta1.Machine{}, held).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up operation controller: %w", err)
	}
	return nil
}

// holder is the operation that an object is held by.
func holder(_ context.Context, object client.Object) []ctrl.Request {
	name := object.GetAnnotations()[v1beta1.AnnotationOperation]
	if name == "" {
		return nil
	}
	return []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: object.GetNamespace(), Name: name}}}
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var op v1beta1.Operation
	if err := r.client.Get(ctx, request.NamespacedName, &op); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	var service v1beta1.ServicePolicy
	if err := r.client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("operation %s: read ServicePolicy: %w", request.Name, err)
	}
	var result ctrl.Result
	var err error
	if operation.Finished(&op) {
		result, err = r.retire(ctx, &op, orDefault(service.Spec.OperationRetention, defaultRetention))
	} else {
		result, err = r.advance(ctx, &op, policy.PutTimeout(service.Spec, op.Spec.State))
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("operation %s: %w", request.Name, err)
	}
	return result, nil
}

// retire removes an operation that can no longer be asked for.
func (r *reconciler) retire(ctx context.Context, op *v1beta1.Operation, retention time.Duration) (ctrl.Result, error) {
	if op.Status.EndTime == nil {
		return ctrl.Result{}, nil
	}
	var subscription v1beta1.Subscription
	key := client.ObjectKey{Name: strings.TrimPrefix(op.Namespace, v1beta1.SubscriptionNamespace(""))}
	if err := r.client.Get(ctx, key, &subscription); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read its subscription: %w", err)
	}
	clock := policy.ReadSeenClock(subscription.Annotations)
	if left := retention - clock.Age(op.Status.EndTime.Time, r.Now()); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	if err := r.client.Delete(ctx, op); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("remove: %w", err)
	}
	return ctrl.Result{}, nil
}

// advance sees whether the targets have come to a result. Before that it makes
// sure that they carry what the operation asks for: normally the server that took
// the request writes it, and only if that died it is written here. Once all
// targets were seen to carry it, it is never written again: a target that is gone
// by then was deleted, and must stay so.
func (r *reconciler) advance(ctx context.Context, op *v1beta1.Operation, timeout time.Duration) (ctrl.Result, error) {
	if op.Spec.Type == v1beta1.OperationAbort {
		return r.abort(ctx, op)
	}
	targets, err := r.look(ctx, op)
	if err != nil {
		return ctrl.Result{}, err
	}
	if op.Status.Status == "" {
		if !claimed(op, targets) {
			return r.begin(ctx, op)
		}
		if err := r.start(ctx, op); err != nil {
			return ctrl.Result{}, err
		}
	}
	left := op.CreationTimestamp.Add(timeout).Sub(r.Now())
	v := judge(op, targets, left <= 0)
	if v.code != v1beta1.OperationInProgress {
		return ctrl.Result{}, r.end(ctx, op, v)
	}
	if left <= 0 {
		left = lookAgain
	}
	return ctrl.Result{RequeueAfter: min(left, lookAgain)}, nil
}

// abort ends when the operation that it aborts has ended, in whatever way.
func (r *reconciler) abort(ctx context.Context, op *v1beta1.Operation) (ctrl.Result, error) {
	if op.Status.Status == "" {
		if err := r.start(ctx, op); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := operation.Apply(ctx, r.client, r.reader, op); err != nil {
		return ctrl.Result{}, err
	}
	aborted := &v1beta1.Operation{}
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: op.Spec.Aborts}, aborted)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read operation %s: %w", op.Spec.Aborts, err)
	}
	if err != nil || operation.Finished(aborted) {
		return ctrl.Result{}, r.end(ctx, op, verdict{code: v1beta1.OperationSucceeded})
	}
	return ctrl.Result{RequeueAfter: abortAgain}, nil
}

// begin finishes what a server that died had begun.
func (r *reconciler) begin(ctx context.Context, op *v1beta1.Operation) (ctrl.Result, error) {
	deleted, err := r.deletedSince(ctx, op)
	if err != nil {
		return ctrl.Result{}, err
	}
	if deleted {
		return ctrl.Result{}, r.end(ctx, op, preempted())
	}
	if left := op.CreationTimestamp.Add(r.ServerGrace).Sub(r.Now()); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	if err := operation.Apply(ctx, r.client, r.reader, op); err != nil {
		return r.refuse(ctx, op, err)
	}
	return ctrl.Result{RequeueAfter: time.Millisecond}, nil
}

// deletedSince says whether a later operation deletes the target of a Put. The
// object itself may be gone already.
func (r *reconciler) deletedSince(ctx context.Context, op *v1beta1.Operation) (bool, error) {
	if op.Spec.Type == v1beta1.OperationDelete {
		return false, nil
	}
	var list v1beta1.OperationList
	if err := r.reader.List(ctx, &list, client.InNamespace(op.Namespace)); err != nil {
		return false, fmt.Errorf("list operations: %w", err)
	}
	for i := range list.Items {
		other := &list.Items[i]
		if other.Spec.Type == v1beta1.OperationDelete && other.Spec.Target.Kind == op.Spec.Target.Kind &&
			other.Spec.Target.Name == op.Spec.Target.Name && !other.CreationTimestamp.Before(&op.CreationTimestamp) {
			return true, nil
		}
	}
	return false, nil
}

func (r *reconciler) start(ctx context.Context, op *v1beta1.Operation) error {
	begun := op.CreationTimestamp
	op.Status.Status, op.Status.StartTime = v1beta1.OperationInProgress, &begun
	if err := r.client.Status().Update(ctx, op); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

func (r *reconciler) end(ctx context.Context, op *v1beta1.Operation, v verdict) error {
	if err := r.forgetScript(ctx, op); err != nil {
		return err
	}
	return operation.End(ctx, r.client, op, v.code, v.cause, r.Now())
}

// refuse ends an operation whose desired state cannot be written.
func (r *reconciler) refuse(ctx context.Context, op *v1beta1.Operation, err error) (ctrl.Result, error) {
	var busy *operation.BusyError
	switch {
	case errors.As(err, &busy):
		return ctrl.Result{}, r.end(ctx, op, verdict{v1beta1.OperationCanceled, &v1beta1.OperationError{Code: "OperationNotAllowed", Message: busy.Error()}})
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
		return ctrl.Result{}, r.end(ctx, op, verdict{v1beta1.OperationFailed, &v1beta1.OperationError{Code: "BadRequest", Message: err.Error()}})
	default:
		return ctrl.Result{}, err
	}
}

func orDefault(set *metav1.Duration, value time.Duration) time.Duration {
	if set == nil {
		return value
	}
	return set.Duration
}
