package access

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// The defaults of ServicePolicy for just-in-time access.
const (
	DefaultMaxDuration = 8 * time.Hour
	DefaultRetention   = 90 * 24 * time.Hour
	DefaultMaxRequests = 5000
)

// MinDuration is how long an access lasts at least, if it was not for its end.
const MinDuration = time.Minute

// Plan is what ServicePolicy asks for of just-in-time access.
type Plan struct {
	MaxDuration, Retention time.Duration
	MaxRequests            int
}

// Plans reads ServicePolicy. A figure that is not positive means the default.
func Plans(spec v1beta1.ServicePolicySpec) Plan {
	plan := Plan{DefaultMaxDuration, DefaultRetention, DefaultMaxRequests}
	set := spec.SupportAccess
	if set == nil {
		return plan
	}
	for _, one := range []struct {
		from *metav1.Duration
		into *time.Duration
	}{{set.MaxDuration, &plan.MaxDuration}, {set.Retention, &plan.Retention}} {
		if one.from != nil && one.from.Duration > 0 {
			*one.into = one.from.Duration
		}
	}
	if set.MaxRequests != nil && *set.MaxRequests > 0 {
		plan.MaxRequests = int(*set.MaxRequests)
	}
	return plan
}

// Look is how often an access that has ended is looked at, and its time counted.
const Look = 10 * time.Minute

// Count is the status of an access that has ended with the time that was seen to pass
// since the last look: a clock that leaps removes no record.
func Count(status v1beta1.SupportAccessStatus, now time.Time) v1beta1.SupportAccessStatus {
	// Times are stored in seconds: what is cut off here would be counted twice.
	at := metav1.NewTime(now.Truncate(time.Second))
	if status.Observed != nil {
		status.Elapsed.Duration += policy.Passed(status.Observed.Time, Look, at.Time)
	}
	status.Observed = &at
	return status
}

// StandingLook is how often an access that stands is looked at, and its time counted.
const StandingLook = time.Minute

// CountStanding is the status of an access that stands with the time that was seen to pass
// since the last look: a clock that goes back makes it no longer. It says whether there is
// something to write.
func CountStanding(status v1beta1.SupportAccessStatus, now time.Time) (v1beta1.SupportAccessStatus, bool) {
	at := metav1.NewTime(now.Truncate(time.Second))
	if status.Observed != nil {
		if gap := at.Sub(status.Observed.Time); gap >= 0 && gap < StandingLook {
			return status, false
		}
		status.Elapsed.Duration += policy.Passed(status.Observed.Time, StandingLook, at.Time)
	}
	status.Observed = &at
	return status, true
}

// Due says whether an access that has ended is not kept any longer, and else after what
// time to look again.
func (p Plan) Due(status v1beta1.SupportAccessStatus) (bool, time.Duration) {
	left := p.Retention - status.Elapsed.Duration
	return left <= 0, min(max(left, time.Second), Look)
}
