package event

import (
	"cmp"
	"slices"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// Drop is a delivery that is given up, and why.
type Drop struct {
	Delivery *v1beta1.EventDelivery
	Reason   string
}

// Turn is what is next for one event subscription.
type Turn struct {
	Drops []Drop
	// Send is the delivery whose turn it is, nil if it is none's.
	Send *v1beta1.EventDelivery
	// Wait is after what time there is something to do, 0 if nothing waits. It is 0 too
	// while something is to be sent.
	Wait time.Duration
}

// Next reads the queue of an event subscription: what is due is sent, the oldest first,
// unless the endpoint is left alone for now. It reorders the deliveries.
func Next(subscription *v1beta1.EventSubscription, queue []*v1beta1.EventDelivery, now time.Time) Turn {
	slices.SortFunc(queue, func(a, b *v1beta1.EventDelivery) int {
		return cmp.Or(a.Spec.Time.Compare(b.Spec.Time.Time), cmp.Compare(a.Name, b.Name))
	})
	var turn Turn
	ttl := TTL(subscription.Spec.RetryPolicy)
	tooMany := len(queue) - MaxPending
	paused := time.Time{}
	if until := subscription.Status.PausedUntil; until != nil {
		paused = until.Time
	}
	var wake time.Time
	for i, delivery := range queue {
		ends := delivery.CreationTimestamp.Add(ttl)
		switch {
		case i < tooMany:
			turn.Drops = append(turn.Drops, Drop{delivery, DropTooMany})
			continue
		case !ends.After(now):
			turn.Drops = append(turn.Drops, Drop{delivery, DropExpired})
			continue
		}
		due := paused
		if next := delivery.Status.NextAttempt; next != nil && next.After(due) {
			due = next.Time
		}
		if !due.After(now) {
			if turn.Send == nil {
				turn.Send = delivery
			}
			continue
		}
		if ends.Before(due) {
			due = ends
		}
		if wake.IsZero() || due.Before(wake) {
			wake = due
		}
	}
	if turn.Send == nil && !wake.IsZero() {
		turn.Wait = wake.Sub(now)
	}
	return turn
}
