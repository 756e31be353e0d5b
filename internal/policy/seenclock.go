package policy

import (
	"encoding/json"
	"slices"
	"time"
)

// AnnotationSeenClock on a Subscription has its SeenClock, as JSON.
const AnnotationSeenClock = "berth.dev/seen-clock"

const (
	// SeenLook is how often a SeenClock is looked at.
	SeenLook = time.Hour
	// maxLeaps is how many leaps are known, the newest: those of a year on a machine that is
	// off every night. What is older than all of them did leap with those forgotten.
	maxLeaps = 400
)

// SeenClock tells how old things are by the time that was seen to pass, where there are too
// many of them for each to have a clock of its own: it knows by how much the machine's
// clock leapt, and when (docs/decisions/0008-clocks.md).
type SeenClock struct {
	// Observed is when it was last looked at; zero if never.
	Observed time.Time `json:"observed"`
	// Leaps are in order.
	Leaps []Leap `json:"leaps,omitempty"`
}

// Leap is time that did not pass, though the clock says so.
type Leap struct {
	// At is when it was noticed: what is older leapt as well.
	At time.Time     `json:"at"`
	By time.Duration `json:"by"`
}

// ReadSeenClock reads what an object has of a clock. What cannot be read is one that was
// never looked at, which believes the machine's.
func ReadSeenClock(annotations map[string]string) SeenClock {
	var clock SeenClock
	if json.Unmarshal([]byte(annotations[AnnotationSeenClock]), &clock) != nil {
		return SeenClock{}
	}
	return clock
}

// String is what ReadSeenClock reads.
func (c SeenClock) String() string {
	text, _ := json.Marshal(c) // times and numbers have no way to fail
	return string(text)
}

// Look is the clock after a look, and whether it is another one. A clock that goes back
// takes back what it leapt before.
func (c SeenClock) Look(now time.Time) (SeenClock, bool) {
	now = now.UTC().Truncate(time.Second)
	since := now.Sub(c.Observed)
	if !c.Observed.IsZero() && since >= 0 && since < SeenLook {
		return c, false
	}
	looked := SeenClock{Observed: now, Leaps: slices.Clone(c.Leaps)}
	if leapt := c.unnoted(now); leapt > 0 {
		looked.Leaps = append(looked.Leaps, Leap{now, leapt})
	}
	for back := max(-since, 0); back > 0 && len(looked.Leaps) > 0; {
		last := &looked.Leaps[len(looked.Leaps)-1]
		taken := min(back, last.By)
		last.By, back = last.By-taken, back-taken
		if last.By == 0 {
			looked.Leaps = looked.Leaps[:len(looked.Leaps)-1]
		}
	}
	looked.Leaps = looked.Leaps[max(0, len(looked.Leaps)-maxLeaps):]
	return looked, true
}

// unnoted is by how much the clock leapt since it was looked at.
func (c SeenClock) unnoted(now time.Time) time.Duration {
	if c.Observed.IsZero() {
		return 0
	}
	return max(now.Sub(c.Observed), 0) - Passed(c.Observed, SeenLook, now)
}

// Age is how old something is, as far as was seen.
func (c SeenClock) Age(since, now time.Time) time.Duration {
	age := now.Sub(since)
	for _, leap := range append(slices.Clone(c.Leaps), Leap{now, c.unnoted(now)}) {
		// What came after the leap and before it was noticed did not leap.
		age -= min(leap.By, max(leap.At.Sub(since), 0))
	}
	return max(age, 0)
}
