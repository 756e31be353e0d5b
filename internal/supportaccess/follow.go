package supportaccess

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/access"
)

// SetupWithManager has the front cut what is open of an access as soon as that has
// ended, on every replica.
func (f *Front) SetupWithManager(mgr ctrl.Manager) error {
	everywhere := false
	cached := mgr.GetClient()
	err := ctrl.NewControllerManagedBy(mgr).
		Named("supportaccess-front").
		For(&v1beta1.SupportAccess{}).
		Watches(&v1beta1.SupportTicket{}, handler.EnqueueRequestsFromMapFunc(Related(cached))).
		Watches(&v1beta1.ManagedCluster{}, handler.EnqueueRequestsFromMapFunc(Related(cached))).
		WithOptions(controller.Options{NeedLeaderElection: &everywhere}).
		Complete(follower{f, cached})
	if err != nil {
		return fmt.Errorf("watch accesses of support: %w", err)
	}
	return nil
}

// Related are the accesses that a ticket or a cluster decides on.
func Related(reader client.Reader) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []ctrl.Request {
		var list v1beta1.SupportAccessList
		if err := reader.List(ctx, &list, client.InNamespace(object.GetNamespace())); err != nil {
			return nil // each ends in its own time
		}
		var requests []ctrl.Request
		for i := range list.Items {
			found := &list.Items[i]
			_, isTicket := object.(*v1beta1.SupportTicket)
			if isTicket && v1beta1.ObjectName(found.Spec.Ticket) == object.GetName() || !isTicket && found.Spec.Cluster == object.GetName() {
				requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(found)})
			}
		}
		return requests
	}
}

// follower is the controller of a front.
type follower struct {
	front  *Front
	reader client.Reader
}

// Reconcile implements reconcile.Reconciler. What ends by the clock has a deadline of its
// own, and is let go of here.
func (l follower) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var found v1beta1.SupportAccess
	err := l.reader.Get(ctx, request.NamespacedName, &found)
	if apierrors.IsNotFound(err) {
		l.front.end(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("read access %s: %w", request, err)
	}
	evidence, err := Gather(ctx, l.reader, &found)
	if err != nil {
		return ctrl.Result{}, err
	}
	now := l.front.Now()
	if found.Status.Ended != nil || access.Decide(evidence, now) != nil {
		l.front.end(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err := l.front.replaced(ctx, &found); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: max(access.Until(evidence).Sub(now), time.Second)}, nil
}

// replaced cuts what came with a credential that another one has made void. What was
// found may be older than that other one, and is read again first.
func (f *Front) replaced(ctx context.Context, found *v1beta1.SupportAccess) error {
	key := client.ObjectKeyFromObject(found)
	if !f.streams.strangers(key, found.Spec.Token) {
		return nil
	}
	var now v1beta1.SupportAccess
	if err := f.Reader.Get(ctx, key, &now); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read access %s: %w", key, err)
	}
	f.streams.cutStrangers(key, now.Spec.Token)
	return nil
}

// end cuts what is open of an access, and forgets how it was reached.
func (f *Front) end(key client.ObjectKey) {
	f.streams.cut(key)
	f.reached.drop(key)
	f.records.drop(key)
}
