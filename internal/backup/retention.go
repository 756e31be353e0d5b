package backup

import "time"

// Retention says for how long what is kept. Deltas are of use only back to the oldest
// snapshot that they continue, and there is no need of them where days are enough.
type Retention struct {
	// All is how long everything is kept, deltas included.
	All time.Duration
	// Daily and Weekly are how long the first snapshot of each day and week is.
	Daily, Weekly time.Duration
}

// longestGap is how much of the time between two objects, or since the last one, counts:
// more than lies between two weekly snapshots. A clock that leaps a year makes all that is
// there older by this alone, so that weekly snapshots stay to fall back to
// (docs/decisions/0008-clocks.md).
const longestGap = 8 * 24 * time.Hour

// ages is how old each object of a list in order is, by the time that was seen to pass.
func ages(objects []Object, now time.Time) []time.Duration {
	old := make([]time.Duration, len(objects))
	age, later := time.Duration(0), now
	for i := len(objects) - 1; i >= 0; i-- {
		age += min(max(later.Sub(objects[i].Time), 0), longestGap)
		old[i], later = age, objects[i].Time
	}
	return old
}

// expired returns what is not to be kept, of a list in order. The newest snapshot and
// all that is newer stays whatever its age is: a cluster may have stood still for long. If a
// clock was ahead when that was made, what continues it seems older than it is.
func (r Retention) expired(objects []Object, now time.Time) []Object {
	newest := newestFull(objects)
	if newest == nil {
		return nil
	}
	days, weeks := map[string]bool{}, map[[2]int]bool{}
	var gone []Object
	for i, age := range ages(objects, now) {
		object := objects[i]
		keep := age <= r.All || !object.Time.Before(newest.Time) || newest.Time.After(now) && object.Last > newest.Last
		if object.Kind == KindFull {
			day := object.Time.Format(time.DateOnly)
			year, number := object.Time.ISOWeek()
			week := [2]int{year, number}
			keep = keep || age <= r.Daily && !days[day] || age <= r.Weekly && !weeks[week]
			days[day], weeks[week] = true, true
		}
		if !keep {
			gone = append(gone, object)
		}
	}
	return gone
}
