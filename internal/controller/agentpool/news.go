package agentpool

import (
	"context"
	"fmt"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/policy/event"
)

// tellRolling tells that a replacement of the pool's nodes began or ended (AKS:
// event-schema-aks), before the status has it: whoever is killed in between tells the same
// again, which is one notice.
func (r *Reconciler) tellRolling(ctx context.Context, pool *v1beta1.AgentPool, reason, occasion, message string) {
	r.log.Record(ctx, activity.Notice{Object: pool, Occasion: occasion, ActivityNotice: v1beta1.ActivityNotice{
		Reason: reason, Message: message, Warning: reason == event.ReasonRollingFailed,
		Data: map[string]string{event.DataNodePoolName: pool.Spec.Name},
	}})
}

// tellEnd tells how a replacement ended, if the next status is the first to say so.
func (r *Reconciler) tellEnd(ctx context.Context, pool *v1beta1.AgentPool, next v1beta1.AgentPoolStatus) {
	reason, why := rollingEnd(pool.Status, next)
	if reason != "" {
		r.tellRolling(ctx, pool, reason, next.Upgrade.StartTime.UTC().Format(time.RFC3339), why)
	}
}

// rollingEnd is the reason and the message of the end of a replacement, empty if none ends.
func rollingEnd(last, next v1beta1.AgentPoolStatus) (reason, message string) {
	if last.Upgrade == nil || last.Upgrade.EndTime != nil || next.Upgrade == nil || next.Upgrade.EndTime == nil {
		return "", ""
	}
	if next.ProvisioningState == v1beta1.StateFailed || next.ProvisioningState == v1beta1.StateCanceled {
		why := string(next.ProvisioningState)
		if next.Error != nil {
			why = next.Error.Message
		}
		return event.ReasonRollingFailed, fmt.Sprintf("%d of %d nodes were replaced: %s", next.Upgrade.Done, next.Upgrade.Nodes, why)
	}
	return event.ReasonRollingSucceeded, fmt.Sprintf("%d nodes were replaced", next.Upgrade.Done)
}
