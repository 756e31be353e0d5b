package activity

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/policy"
)

const (
	// soon is how long a newer copy of an entry is waited for.
	soon = time.Second
)

// Config is what the controller needs besides the manager.
type Config struct {
	Log *slog.Logger
	Now func() time.Time
}

// Setup registers the two controllers with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	follower := &follower{client: mgr.GetClient(), log: activity.Log{Client: mgr.GetClient(), Now: cfg.Now, Log: cfg.Log}}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("activity").
		For(&v1beta1.Operation{}).
		Complete(follower)
	if err != nil {
		return fmt.Errorf("set up activity controller: %w", err)
	}
	collector := &collector{client: mgr.GetClient(), now: cfg.Now}
	err = ctrl.NewControllerManagedBy(mgr).
		Named("activity-collector").
		Watches(&v1beta1.ActivityLogEntry{}, handler.EnqueueRequestsFromMapFunc(subscriptionOf)).
		Watches(&v1beta1.Subscription{}, handler.EnqueueRequestsFromMapFunc(entriesOf)).
		Watches(&v1beta1.ServicePolicy{}, handler.EnqueueRequestsFromMapFunc(collector.everySubscription)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(collector)
	if err != nil {
		return fmt.Errorf("set up collector of the activity log: %w", err)
	}
	return nil
}

// follower has the entries of Operations say how these stand.
type follower struct {
	client client.Client
	log    activity.Log
}

// Reconcile implements reconcile.Reconciler.
func (f *follower) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var op v1beta1.Operation
	if err := f.client.Get(ctx, request.NamespacedName, &op); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	done, err := f.log.Follow(ctx, &op)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("operation %s: %w", request.Name, err)
	}
	if !done {
		return ctrl.Result{RequeueAfter: soon}, nil
	}
	return ctrl.Result{}, nil
}

// collector removes entries. Its requests are namespaces.
type collector struct {
	client client.Client
	now    func() time.Time
}

// subscriptionOf is an entry's subscription: all its entries are one piece of work.
func subscriptionOf(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: object.GetNamespace()}}}
}

// entriesOf is where the entries of a subscription are.
func entriesOf(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: v1beta1.SubscriptionNamespace(object.GetName())}}}
}

func (c *collector) everySubscription(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1beta1.SubscriptionList
	if err := c.client.List(ctx, &list); err != nil {
		return nil // each is looked at when its next entry comes
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: v1beta1.SubscriptionNamespace(list.Items[i].Name)}})
	}
	return requests
}

// Reconcile implements reconcile.Reconciler.
func (c *collector) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var service v1beta1.ServicePolicy
	if err := c.client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read ServicePolicy: %w", err)
	}
	var list v1beta1.ActivityLogEntryList
	if err := c.client.List(ctx, &list, client.InNamespace(request.Name), client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, fmt.Errorf("list the activity log of %s: %w", request.Name, err)
	}
	entries := make([]*v1beta1.ActivityLogEntry, 0, len(list.Items))
	for i := range list.Items {
		entries = append(entries, &list.Items[i])
	}
	clock, err := c.look(ctx, request.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	outdated, next := policy.OutdatedActivity(entries, policy.ActivityLog(service.Spec), clock, c.now())
	for _, entry := range outdated {
		gone := &v1beta1.ActivityLogEntry{}
		gone.Namespace, gone.Name = entry.Namespace, entry.Name
		if err := c.client.Delete(ctx, gone); client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("remove entry %s of the activity log: %w", entry.Name, err)
		}
	}
	if next == 0 || next > policy.SeenLook {
		next = policy.SeenLook
	}
	return ctrl.Result{RequeueAfter: next}, nil
}

// look is the clock of a subscription, which it looks at. A namespace of a subscription
// that is gone has none.
func (c *collector) look(ctx context.Context, namespace string) (policy.SeenClock, error) {
	var subscription v1beta1.Subscription
	err := c.client.Get(ctx, client.ObjectKey{Name: strings.TrimPrefix(namespace, v1beta1.SubscriptionNamespace(""))}, &subscription)
	if err != nil {
		if client.IgnoreNotFound(err) == nil {
			return policy.SeenClock{}, nil
		}
		return policy.SeenClock{}, fmt.Errorf("read the subscription of %s: %w", namespace, err)
	}
	clock, changed := policy.ReadSeenClock(subscription.Annotations).Look(c.now())
	if !changed {
		return clock, nil
	}
	before := subscription.DeepCopy()
	metav1.SetMetaDataAnnotation(&subscription.ObjectMeta, policy.AnnotationSeenClock, clock.String())
	if err := c.client.Patch(ctx, &subscription, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return policy.SeenClock{}, fmt.Errorf("count the time of subscription %s: %w", subscription.Name, err)
	}
	return clock, nil
}
