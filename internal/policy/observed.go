package policy

import "time"

// maxGaps is how many intervals a clock advances by at one look at most.
const maxGaps = 2

// Passed is the time that was seen to pass since a clock was last looked at. A machine's
// clock that leapt, or a service that did not run, adds twice the interval of looks at
// most, and one that went back nothing (docs/decisions/0008-clocks.md).
func Passed(observed time.Time, interval time.Duration, now time.Time) time.Duration {
	return min(max(now.Sub(observed), 0), maxGaps*interval)
}
