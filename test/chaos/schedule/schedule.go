// Package schedule draws what is done to a Berth, and when: the same seed draws the same.
package schedule

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Event is one fault.
type Event struct {
	// Fault is its name.
	Fault string
	// Target is a number that chooses among what the fault can be done to.
	Target int
	// Hold is how long it lasts, where it does not end by itself.
	Hold time.Duration
	// Gap is the time before it; zero means that everything is well again first.
	Gap time.Duration
}

// String tells of the event as a log does.
func (e Event) String() string {
	text := fmt.Sprintf("%s (target %d, %.0f s)", e.Fault, e.Target, e.Hold.Seconds())
	if e.Gap == 0 {
		return text + " once all is well"
	}
	return fmt.Sprintf("%s %.1f s later", text, e.Gap.Seconds())
}

// The bounds of what is drawn.
const (
	leastHold, mostHold = 5 * time.Second, 20 * time.Second
	leastGap, mostGap   = time.Second, 15 * time.Second
	targets             = 1000
)

// Draw makes a schedule: every fault in turn, in an order of its own, each when
// everything is well; and then as many more as are asked for, at random, whatever the
// state of things.
func Draw(seed uint64, faults []string, more int) []Event {
	random := rand.New(rand.NewPCG(seed, 0))
	var events []Event
	for _, i := range random.Perm(len(faults)) {
		events = append(events, draw(random, faults[i]))
	}
	for range more {
		event := draw(random, faults[random.IntN(len(faults))])
		event.Gap = between(random, leastGap, mostGap)
		events = append(events, event)
	}
	return events
}

func draw(random *rand.Rand, fault string) Event {
	return Event{Fault: fault, Target: random.IntN(targets), Hold: between(random, leastHold, mostHold)}
}

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least))).Round(100*time.Millisecond)
}
