package autoupgrade

import (
	"hash/fnv"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/maintenance"
)

// forever is longer than anybody waits for a cluster without a maintenance configuration.
const forever = 100 * 365 * 24 * time.Hour

// window is when a target may be brought: in the window that is open or comes
// next, of those in which it was not tried yet.
func (o *observation) window(last v1beta1.AutoUpgradeStatus, target string) (maintenance.Window, bool) {
	tried := last.LastRun != nil && last.LastTarget == target
	calendar := o.calendars[last.Schedule]
	if calendar == nil {
		start := o.slot(o.now)
		switch {
		case tried:
			start = o.slot(last.LastRun.Add(retryAfter))
		case last.NextRun != nil && last.NextRun.Time.Before(start):
			start = last.NextRun.Time
		}
		return maintenance.Window{Start: start, End: start.Add(forever)}, true
	}
	window, ok := calendar.Find(o.now)
	if ok && tried && !last.LastRun.Time.Before(window.Start) {
		window, ok = calendar.Find(window.End)
	}
	return window, ok
}

// stillOpen says whether a run may begin its next part.
func (o *observation) stillOpen(last v1beta1.AutoUpgradeStatus) bool {
	calendar := o.calendars[last.Schedule]
	if calendar == nil {
		return true
	}
	window, ok := calendar.Find(o.now)
	return ok && window.Open(o.now)
}

// slot is the first moment from a time on at which a cluster without a maintenance
// configuration has its turn: once in each interval, each cluster at another time,
// so that a new release does not reach all clusters at once.
func (o *observation) slot(from time.Time) time.Time {
	sum := fnv.New64a()
	sum.Write([]byte(o.cluster.UID))
	phase := time.Duration(sum.Sum64() % uint64(o.interval)).Truncate(time.Second)
	start := from.Truncate(o.interval).Add(phase)
	for start.Before(from) {
		start = start.Add(o.interval)
	}
	return start
}
