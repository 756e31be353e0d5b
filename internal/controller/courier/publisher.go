package courier

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy/event"
)

// publisher makes deliveries of entries. Its requests are namespaces of subscriptions.
type publisher struct {
	client client.Client
	reader client.Reader // not a cache
	// published are entries, by their UIDs, that were marked and that the cache may not
	// show as marked yet. One worker uses it.
	published map[string]map[types.UID]bool
}

// subscriptionOf is an entry's subscription: all its entries are one piece of work.
func subscriptionOf(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: object.GetNamespace()}}}
}

// Reconcile implements reconcile.Reconciler. The entries are read before the event
// subscriptions, and those from the API server itself: whoever had one before an act ended
// is told of it, whichever of Berth's servers wrote the entry and when.
func (p *publisher) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var entries v1beta1.ActivityLogEntryList
	if err := p.client.List(ctx, &entries, client.InNamespace(request.Name), client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, fmt.Errorf("list the activity log of %s: %w", request.Name, err)
	}
	var list v1beta1.EventSubscriptionList
	if err := p.reader.List(ctx, &list, client.InNamespace(request.Name)); err != nil {
		return ctrl.Result{}, fmt.Errorf("list event subscriptions of %s: %w", request.Name, err)
	}
	if len(list.Items) == 0 {
		delete(p.published, request.Name)
		return ctrl.Result{}, nil
	}
	seen := p.published[request.Name]
	if seen == nil {
		seen = map[types.UID]bool{}
		p.published[request.Name] = seen
	}
	unmarked := map[types.UID]bool{}
	tenant, since := p.tenant(ctx, request.Name), oldest(list.Items)
	for i := range entries.Items {
		entry := &entries.Items[i]
		if entry.Status.Published {
			continue
		}
		unmarked[entry.UID] = true
		told, ok := event.Of(entry, tenant)
		if !ok || told.Time.Before(since) || seen[entry.UID] {
			continue
		}
		if err := p.publish(ctx, entry, told, list.Items); err != nil {
			return ctrl.Result{}, err
		}
		seen[entry.UID] = true
	}
	maps.DeleteFunc(seen, func(uid types.UID, _ bool) bool { return !unmarked[uid] })
	return ctrl.Result{}, nil
}

// oldest is when the first event subscription was made: what is older is nobody's.
func oldest(all []v1beta1.EventSubscription) time.Time {
	return slices.MinFunc(all, func(a, b v1beta1.EventSubscription) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) }).CreationTimestamp.Time
}

func (p *publisher) tenant(ctx context.Context, namespace string) string {
	var list v1beta1.SubscriptionList
	if err := p.client.List(ctx, &list); err != nil {
		return "" // it is for information
	}
	for i := range list.Items {
		if v1beta1.SubscriptionNamespace(list.Items[i].Name) == namespace {
			return list.Items[i].Spec.TenantID
		}
	}
	return ""
}

// publish makes the deliveries of an event, and marks its entry when all are there.
func (p *publisher) publish(ctx context.Context, entry *v1beta1.ActivityLogEntry, told event.Event, all []v1beta1.EventSubscription) error {
	for i := range all {
		to := &all[i]
		if !to.DeletionTimestamp.IsZero() || !event.Wanted(to, told) {
			continue
		}
		body, err := told.Body(to.Spec)
		if err != nil {
			return err
		}
		delivery := &v1beta1.EventDelivery{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: entry.Namespace, Name: operation.NameOf("delivery", string(to.UID), told.ID),
				OwnerReferences: []metav1.OwnerReference{{APIVersion: v1beta1.GroupVersion.String(), Kind: "EventSubscription", Name: to.Name, UID: to.UID}},
			},
			Spec: v1beta1.EventDeliverySpec{EventSubscription: to.Name, ID: told.ID, Type: told.Type, Time: metav1.NewMicroTime(told.Time), Body: string(body)},
		}
		if err := p.client.Create(ctx, delivery); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("make delivery of event %s to %s: %w", told.ID, to.Name, err)
		}
	}
	marked := entry.DeepCopy()
	marked.Status.Published = true
	if err := p.client.Status().Patch(ctx, marked, client.MergeFrom(entry.DeepCopy())); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("mark entry %s of the activity log: %w", entry.Name, err)
	}
	return nil
}
