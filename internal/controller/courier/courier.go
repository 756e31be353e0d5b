package courier

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/policy/event"
	"berth.dev/berth/internal/webhook"
)

// incomplete is how often an event subscription is looked at that has no endpoint yet.
const incomplete = 10 * time.Second

// courier sends deliveries. Its requests are event subscriptions, so that each has one
// event under way at most, and none waits for another's endpoint.
type courier struct {
	Config
	client   client.Client
	reader   client.Reader // not a cache: what has arrived is not sent again
	attempts *prometheus.CounterVec
	events   activity.Recorder
}

// addressee is the event subscription of a delivery.
func addressee(_ context.Context, object client.Object) []reconcile.Request {
	delivery, ok := object.(*v1beta1.EventDelivery)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: delivery.Namespace, Name: delivery.Spec.EventSubscription}}}
}

// Reconcile implements reconcile.Reconciler: it sends one event, if one is due.
func (c *courier) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var to v1beta1.EventSubscription
	// What was noted a moment ago must be seen: a pause, or another endpoint.
	if err := c.reader.Get(ctx, request.NamespacedName, &to); err != nil || !to.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	now := c.Now()
	if ends := to.Spec.ExpirationTime; ends != nil && !ends.After(now) {
		if err := c.client.Delete(ctx, &to, client.Preconditions{UID: &to.UID, ResourceVersion: &to.ResourceVersion}); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			return ctrl.Result{}, fmt.Errorf("remove expired event subscription %s: %w", request, err)
		}
		return ctrl.Result{}, nil
	}
	queue, err := c.queue(ctx, &to)
	if err != nil {
		return ctrl.Result{}, err
	}
	turn := event.Next(&to, queue, now)
	if err := c.drop(ctx, &to, turn.Drops); err != nil {
		return ctrl.Result{}, err
	}
	if turn.Send == nil {
		return ctrl.Result{RequeueAfter: untilEnd(&to, turn.Wait, now)}, nil
	}
	again, err := c.send(ctx, &to, turn.Send)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: time.Millisecond}, nil
	}
	return ctrl.Result{RequeueAfter: again}, err
}

// untilEnd is when to look again: at the queue, or at the event subscription's end.
func untilEnd(to *v1beta1.EventSubscription, wait time.Duration, now time.Time) time.Duration {
	if ends := to.Spec.ExpirationTime; ends != nil {
		if left := max(ends.Sub(now), time.Millisecond); wait == 0 || left < wait {
			return left
		}
	}
	return wait
}

// queue is what waits for an event subscription.
func (c *courier) queue(ctx context.Context, to *v1beta1.EventSubscription) ([]*v1beta1.EventDelivery, error) {
	var list v1beta1.EventDeliveryList
	if err := c.client.List(ctx, &list, client.InNamespace(to.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list deliveries of %s: %w", to.Namespace, err)
	}
	var queue []*v1beta1.EventDelivery
	for i := range list.Items {
		if ownedBy(&list.Items[i], to) {
			queue = append(queue, &list.Items[i])
		}
	}
	return queue, nil
}

func ownedBy(delivery *v1beta1.EventDelivery, to *v1beta1.EventSubscription) bool {
	return slices.ContainsFunc(delivery.OwnerReferences, func(owner metav1.OwnerReference) bool { return owner.UID == to.UID })
}

// send tries to deliver one event and returns when to look again. What is noted of it
// comes after: who is killed in between sends it again.
func (c *courier) send(ctx context.Context, to *v1beta1.EventSubscription, cached *v1beta1.EventDelivery) (time.Duration, error) {
	const next = time.Millisecond // the rest of the queue
	var delivery v1beta1.EventDelivery
	err := c.reader.Get(ctx, client.ObjectKeyFromObject(cached), &delivery)
	switch {
	case apierrors.IsNotFound(err):
		return next, nil // it arrived, and the cache does not know yet
	case err != nil:
		return 0, fmt.Errorf("read delivery %s: %w", cached.Name, err)
	case delivery.ResourceVersion != cached.ResourceVersion:
		return next, nil
	}
	url, keys, err := c.endpoint(ctx, to)
	if err != nil || url == "" {
		return incomplete, err
	}
	sender, err := c.sender(ctx)
	if err != nil {
		return 0, err
	}
	attempt := delivery.Status.Attempts + 1
	status, failure := sender.Deliver(ctx, webhook.Delivery{
		URL: url, Keys: keys, ID: delivery.Spec.ID, Name: to.Spec.Name, Attempt: attempt, Body: []byte(delivery.Spec.Body), At: c.Now(),
	})
	if ctx.Err() != nil {
		return 0, fmt.Errorf("deliver event %s: %w", delivery.Spec.ID, ctx.Err()) // this process ends, the endpoint is not to blame
	}
	step := event.After(status, attempt, to.Spec.RetryPolicy, c.Now())
	if step.Done {
		c.attempts.WithLabelValues("Delivered").Inc()
		if err := c.arrived(ctx, to, &delivery); err != nil {
			return 0, err
		}
		return next, nil
	}
	c.attempts.WithLabelValues("Failed").Inc()
	return next, c.failed(ctx, to, &delivery, step, outcomeOf(status, failure))
}

func outcomeOf(status int, failure error) string {
	if failure != nil {
		return failure.Error()
	}
	return fmt.Sprintf("it answered %d", status)
}

// endpoint is where an event subscription's events go, empty while it is not complete: the
// URL of its Secret is the one that the spec was checked with.
func (c *courier) endpoint(ctx context.Context, to *v1beta1.EventSubscription) (url string, keys []string, err error) {
	var secret corev1.Secret
	if err := c.reader.Get(ctx, client.ObjectKeyFromObject(to), &secret); client.IgnoreNotFound(err) != nil {
		return "", nil, fmt.Errorf("read endpoint of %s: %w", to.Name, err)
	}
	url = string(secret.Data[v1beta1.EndpointURL])
	if base, _ := event.Endpoint(url); base == "" || base != to.Spec.EndpointBaseURL {
		return "", nil, nil
	}
	return url, []string{string(secret.Data[v1beta1.SigningKey1]), string(secret.Data[v1beta1.SigningKey2])}, nil
}

// sender is how endpoints are reached, as ServicePolicy has it.
func (c *courier) sender(ctx context.Context) (webhook.Client, error) {
	var service v1beta1.ServicePolicy
	if err := c.client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return webhook.Client{}, fmt.Errorf("read ServicePolicy: %w", err)
	}
	var allowed []string
	var bundle string
	if set := service.Spec.Webhooks; set != nil {
		allowed, bundle = set.AllowedRanges, set.CABundle
	}
	return webhook.NewClient(c.Own, allowed, bundle, event.Timeout)
}
