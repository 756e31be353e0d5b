package support

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// News says whether a status is worth writing: something but the clocks' progress has
// changed, or that is an interval old, or the time went back.
func News(last *v1beta1.SupportStatus, next v1beta1.SupportStatus, plan policy.SupportPlan) bool {
	if last == nil || !equality.Semantic.DeepEqual(seen(*last), seen(next)) {
		return true
	}
	for i := range next.Clocks {
		passed := next.Clocks[i].Observed.Sub(last.Clocks[i].Observed.Time)
		if passed >= plan.Interval || passed < 0 {
			return true
		}
	}
	return false
}

// seen is a status without what moves all the time.
func seen(status v1beta1.SupportStatus) v1beta1.SupportStatus {
	copied := *status.DeepCopy()
	for i := range copied.Clocks {
		clock := &copied.Clocks[i]
		clock.Elapsed.Duration, clock.Observed, clock.Ends = 0, clock.Since, clock.Since
	}
	for i := range copied.Findings {
		copied.Findings[i].Ends = nil
	}
	return copied
}

// Summary is the message of the condition Supported.
func Summary(status v1beta1.SupportStatus) string {
	parts := make([]string, 0, len(status.Findings))
	for _, finding := range status.Findings {
		parts = append(parts, finding.Clause+": "+finding.Message)
	}
	return strings.Join(parts, ". ")
}
