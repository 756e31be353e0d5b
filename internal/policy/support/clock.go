package support

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// begin is a clock that starts now.
func begin(r row, now time.Time) v1beta1.SupportClock {
	at := metav1.NewTime(now.Truncate(time.Second))
	return v1beta1.SupportClock{Clause: string(r.clause), Act: r.act, Since: at, Observed: at}
}

// advance adds the time that was seen to pass since the clock was last looked at. now is
// the time to be stored.
func advance(clock *v1beta1.SupportClock, interval time.Duration, now time.Time) {
	clock.Elapsed.Duration += policy.Passed(clock.Observed.Time, interval, now)
	clock.Observed = metav1.NewTime(now)
}

// left is how long a clock has yet to run. None ends sooner after its last notice than
// that one says, also where ServicePolicy was changed meanwhile.
func left(clock *v1beta1.SupportClock, length time.Duration, plan policy.SupportPlan) time.Duration {
	last := plan.Notices[len(plan.Notices)-1]
	rest := length - clock.Elapsed.Duration
	noticed := time.Duration(0)
	if clock.Notice != nil && clock.Notice.Duration <= last {
		noticed = clock.Elapsed.Duration - clock.NoticeElapsed.Duration
	}
	return max(rest, min(last, length)-noticed)
}

// due says whether a clock has run out: its last notice was given, and lies back.
func due(clock *v1beta1.SupportClock, length time.Duration, plan policy.SupportPlan) bool {
	return clock.Notice != nil && left(clock, length, plan) <= 0
}

// notify gives the next notice if it is time, the shortest of those that are. It
// returns how long before the end that is, or zero.
func notify(clock *v1beta1.SupportClock, length time.Duration, plan policy.SupportPlan) time.Duration {
	rest := left(clock, length, plan)
	given := time.Duration(0)
	for _, lead := range plan.Notices {
		if rest <= lead {
			given = lead
		}
	}
	if given == 0 || clock.Notice != nil && clock.Notice.Duration <= given {
		return 0
	}
	elapsed := clock.Elapsed
	clock.Notice, clock.NoticeElapsed = &metav1.Duration{Duration: given}, &elapsed
	return given
}

// next is when a clock has something to say: its next notice, or its end.
func next(clock *v1beta1.SupportClock, length time.Duration, plan policy.SupportPlan) time.Duration {
	rest := left(clock, length, plan)
	for _, lead := range plan.Notices {
		if rest > lead {
			return rest - lead
		}
	}
	return rest
}
