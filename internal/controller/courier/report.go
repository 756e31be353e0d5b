package courier

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/policy/event"
)

// arrived removes a delivery, and says that the endpoint is there again if it was not.
func (c *courier) arrived(ctx context.Context, to *v1beta1.EventSubscription, delivery *v1beta1.EventDelivery) error {
	if err := c.remove(ctx, delivery); err != nil {
		return err
	}
	if to.Status.Failures == 0 && meta.IsStatusConditionTrue(to.Status.Conditions, v1beta1.ConditionDelivering) {
		return nil
	}
	return c.note(ctx, to, func(status *v1beta1.EventSubscriptionStatus) {
		status.Failures, status.PausedUntil = 0, nil
		c.condition(to, status, metav1.ConditionTrue, "Delivered", "the endpoint takes events")
	})
}

// failed notes when a delivery is tried again, or gives it up, and leaves the endpoint
// alone for a while. An answer that refuses one event says nothing of the next.
func (c *courier) failed(ctx context.Context, to *v1beta1.EventSubscription, delivery *v1beta1.EventDelivery, step event.Step, outcome string) error {
	if step.Drop != "" {
		delivery.Status.LastOutcome = outcome
		if err := c.drop(ctx, to, []event.Drop{{Delivery: delivery, Reason: step.Drop}}); err != nil || step.Drop == event.DropRefused {
			return err
		}
	} else {
		before := delivery.DeepCopy()
		next := metav1.NewMicroTime(step.Next)
		delivery.Status = v1beta1.EventDeliveryStatus{Attempts: delivery.Status.Attempts + 1, NextAttempt: &next, LastOutcome: outcome}
		if err := c.client.Status().Patch(ctx, delivery, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("note attempt of delivery %s: %w", delivery.Name, err)
		}
	}
	return c.note(ctx, to, func(status *v1beta1.EventSubscriptionStatus) {
		status.Failures++
		until := metav1.NewMicroTime(c.Now().Add(event.Pause(status.Failures)))
		status.PausedUntil = &until
		c.condition(to, status, metav1.ConditionFalse, "EndpointFails", "the endpoint does not take events: "+outcome)
	})
}

// drop gives deliveries up. That is in the log before they go.
func (c *courier) drop(ctx context.Context, to *v1beta1.EventSubscription, drops []event.Drop) error {
	if len(drops) == 0 {
		return nil
	}
	for _, one := range drops {
		err := c.events.Log.Tell(ctx, activity.Notice{
			Caller: c.events.Caller, Object: to, Occasion: one.Reason + c.Now().Truncate(time.Hour).UTC().Format(time.RFC3339),
			ActivityNotice: v1beta1.ActivityNotice{Reason: event.ReasonDropped, Warning: true, Message: fmt.Sprintf(
				"events were given up and will not be sent again (%s), the first of them %s of type %s; %s", one.Reason, one.Delivery.Spec.ID, one.Delivery.Spec.Type, last(one.Delivery))},
		})
		if err != nil {
			return err
		}
	}
	reason := drops[len(drops)-1].Reason
	err := c.note(ctx, to, func(status *v1beta1.EventSubscriptionStatus) {
		status.Dropped += int64(len(drops))
		c.condition(to, status, metav1.ConditionFalse, reason, "events were given up; "+last(drops[len(drops)-1].Delivery))
	})
	if err != nil {
		return err
	}
	for _, one := range drops {
		if err := c.remove(ctx, one.Delivery); err != nil {
			return err
		}
		c.attempts.WithLabelValues(one.Reason).Inc()
	}
	return nil
}

func last(delivery *v1beta1.EventDelivery) string {
	if delivery.Status.LastOutcome == "" {
		return "it was not tried"
	}
	return "the endpoint does not take it: " + delivery.Status.LastOutcome
}

func (c *courier) remove(ctx context.Context, delivery *v1beta1.EventDelivery) error {
	gone := &v1beta1.EventDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: delivery.Namespace, Name: delivery.Name}}
	if err := c.client.Delete(ctx, gone); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove delivery %s: %w", delivery.Name, err)
	}
	return nil
}

// note changes the status of an event subscription, which nobody else writes and which was
// read just now: a change of its spec meanwhile is no conflict.
func (c *courier) note(ctx context.Context, to *v1beta1.EventSubscription, change func(*v1beta1.EventSubscriptionStatus)) error {
	before := to.DeepCopy()
	change(&to.Status)
	if err := c.client.Status().Patch(ctx, to, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("note how deliveries to %s go: %w", to.Name, err)
	}
	return nil
}

func (c *courier) condition(to *v1beta1.EventSubscription, status *v1beta1.EventSubscriptionStatus, is metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1beta1.ConditionDelivering, Status: is, Reason: reason, Message: message, ObservedGeneration: to.Generation,
		LastTransitionTime: metav1.NewTime(c.Now().Truncate(time.Second)),
	})
}
