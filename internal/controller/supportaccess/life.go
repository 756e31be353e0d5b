package supportaccess

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/policy/access"
	"berth.dev/berth/internal/supportaccess"
)

// life is the controller that ends accesses.
type life struct {
	Config
	client client.Client
	reader client.Reader // not a cache: an end is for good
	events activity.Recorder
}

func (l *life) setup(mgr ctrl.Manager) error {
	related := handler.EnqueueRequestsFromMapFunc(supportaccess.Related(mgr.GetClient()))
	err := ctrl.NewControllerManagedBy(mgr).
		Named("supportaccess").
		For(&v1beta1.SupportAccess{}).
		Watches(&v1beta1.SupportTicket{}, related).
		Watches(&v1beta1.ManagedCluster{}, related).
		Complete(l)
	if err != nil {
		return fmt.Errorf("set up controller of support's access: %w", err)
	}
	return nil
}

// Reconcile implements reconcile.Reconciler.
func (l *life) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var found v1beta1.SupportAccess
	if err := l.client.Get(ctx, request.NamespacedName, &found); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !found.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	if found.Status.Ended != nil {
		wait, err := l.keep(ctx, &found)
		return ctrl.Result{RequeueAfter: wait}, err
	}
	wait, err := l.judge(ctx, l.client, &found)
	return ctrl.Result{RequeueAfter: wait}, err
}

// judge ends an access that is over, and says when to look again at one that is not. What
// the cache says is enough to let it stand; to end it, everything is read again.
func (l *life) judge(ctx context.Context, reader client.Reader, of *v1beta1.SupportAccess) (time.Duration, error) {
	evidence, err := supportaccess.Gather(ctx, reader, of)
	if err != nil {
		return 0, err
	}
	now := l.Now()
	end := access.Decide(evidence, now)
	if end == nil {
		return l.count(ctx, of, evidence, now)
	}
	if reader != l.reader {
		var fresh v1beta1.SupportAccess
		if err := l.reader.Get(ctx, client.ObjectKeyFromObject(of), &fresh); err != nil {
			return 0, client.IgnoreNotFound(err)
		}
		return l.judge(ctx, l.reader, &fresh)
	}
	before := of.DeepCopy()
	at := metav1.NewTime(now.UTC().Truncate(time.Second))
	of.Status.Ended, of.Status.Clause, of.Status.Reason, of.Status.Message = &at, string(end.Clause), end.Reason, end.Message
	of.Status.Elapsed, of.Status.Observed = metav1.Duration{}, nil
	if err := l.write(ctx, before, of); err != nil {
		return 0, fmt.Errorf("end access %s: %w", of.Name, err)
	}
	l.events.Event(of, corev1.EventTypeNormal, end.Reason, "End", fmt.Sprintf("%s: %s", end.Clause, end.Message))
	return access.Look, nil
}

// count counts how long an access has stood, and says when to look again.
func (l *life) count(ctx context.Context, of *v1beta1.SupportAccess, evidence access.Evidence, now time.Time) (time.Duration, error) {
	before := of.DeepCopy()
	status, changed := access.CountStanding(of.Status, now)
	if of.Status = status; changed {
		if err := l.write(ctx, before, of); err != nil {
			return 0, fmt.Errorf("count the time that access %s has stood: %w", of.Name, err)
		}
	}
	left := min(access.Until(evidence).Sub(now), of.Spec.Expires.Sub(of.Spec.Created.Time)-of.Status.Elapsed.Duration, access.StandingLook)
	return max(left, time.Millisecond), nil
}

// keep counts how long an access is kept that has ended, and removes it when it is due.
// Its record goes with it.
func (l *life) keep(ctx context.Context, of *v1beta1.SupportAccess) (time.Duration, error) {
	plan, err := supportaccess.Plan(ctx, l.client)
	if err != nil {
		return 0, err
	}
	before := of.DeepCopy()
	of.Status = access.Count(of.Status, l.Now())
	if !equality.Semantic.DeepEqual(before.Status, of.Status) {
		if err := l.write(ctx, before, of); err != nil {
			return 0, fmt.Errorf("count the time that access %s is kept: %w", of.Name, err)
		}
	}
	due, wait := plan.Due(of.Status)
	if !due {
		return wait, nil
	}
	if err := l.client.Delete(ctx, of); client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("remove access %s: %w", of.Name, err)
	}
	return 0, nil
}

// write changes what differs of the status alone: the rights' controller has fields of
// its own.
func (l *life) write(ctx context.Context, before, after *v1beta1.SupportAccess) error {
	return client.IgnoreNotFound(l.client.Status().Patch(ctx, after, client.MergeFrom(before)))
}
