package policy

import (
	"cmp"
	"slices"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// The defaults of ServicePolicy for the activity log.
const (
	DefaultActivityRetention = 90 * day // Azure: activity-log
	DefaultActivityEntries   = 2000
)

// ActivityPlan is what ServicePolicy says of the activity log.
type ActivityPlan struct {
	Retention time.Duration
	// Entries is how many a subscription has of each kind.
	Entries int
}

// ActivityLog reads ServicePolicy.
func ActivityLog(spec v1beta1.ServicePolicySpec) ActivityPlan {
	plan := ActivityPlan{Retention: DefaultActivityRetention, Entries: DefaultActivityEntries}
	if set := spec.ActivityLog; set != nil {
		plan.Retention = durationOr(set.Retention, DefaultActivityRetention)
		if set.Entries != nil {
			plan.Entries = int(*set.Entries)
		}
	}
	return plan
}

// ActivityKind is what an entry of the activity log counts as. Each kind has room of its
// own, so that nobody makes Berth forget what it did, or what was done, by asking for what
// is refused.
type ActivityKind string

// The kinds.
const (
	ActivityDone    ActivityKind = "Done"
	ActivityBegun   ActivityKind = "Begun" // it was never answered: the process ended, or is at work
	ActivityRefused ActivityKind = "Refused"
	ActivityOwn     ActivityKind = "Own"
)

// KindOfActivity is the kind of an entry.
func KindOfActivity(entry *v1beta1.ActivityLogEntry) ActivityKind {
	switch {
	case entry.Spec.Request == nil:
		return ActivityOwn
	case entry.Status.Answer != nil && entry.Status.Answer.Code == v1beta1.ActivityFailed:
		return ActivityRefused
	case entry.Status.Answer == nil && entry.Status.End == nil:
		return ActivityBegun
	default:
		return ActivityDone
	}
}

// OutdatedActivity are the entries of one subscription that are not kept any longer, and
// after what time the next one will not be, zero if there is none. It reorders entries.
func OutdatedActivity(entries []*v1beta1.ActivityLogEntry, plan ActivityPlan, clock SeenClock, now time.Time) (outdated []*v1beta1.ActivityLogEntry, next time.Duration) {
	slices.SortFunc(entries, func(a, b *v1beta1.ActivityLogEntry) int {
		return cmp.Or(b.Spec.Time.Compare(a.Spec.Time.Time), cmp.Compare(a.Name, b.Name))
	})
	kept := map[ActivityKind]int{}
	for _, entry := range entries {
		kind := KindOfActivity(entry)
		left := plan.Retention - clock.Age(entry.Spec.Time.Time, now)
		if left <= 0 || kept[kind] >= plan.Entries {
			outdated = append(outdated, entry)
			continue
		}
		kept[kind]++
		if next == 0 || left < next {
			next = left
		}
	}
	return outdated, next
}
