package schedule

import (
	"slices"
	"testing"
)

// The same seed draws the same, another one something else; every fault comes in turn,
// and what comes at random keeps to its bounds.
func TestDraw(t *testing.T) {
	faults := []string{"a", "b", "c", "d", "e"}
	different := 0
	for seed := range uint64(100) {
		events := Draw(seed, faults, 20)
		if !slices.Equal(events, Draw(seed, faults, 20)) {
			t.Fatalf("seed %d draws now this, now that", seed)
		}
		if !slices.Equal(events, Draw(seed+1, faults, 20)) {
			different++
		}
		var inTurn []string
		for i, e := range events {
			if e.Hold < leastHold || e.Hold > mostHold || e.Target < 0 || e.Target >= targets || !slices.Contains(faults, e.Fault) {
				t.Errorf("seed %d: %+v", seed, e)
			}
			if i < len(faults) {
				inTurn = append(inTurn, e.Fault)
			}
			if (e.Gap == 0) != (i < len(faults)) || e.Gap > mostGap {
				t.Errorf("seed %d: event %d comes %s after the one before", seed, i, e.Gap)
			}
		}
		if slices.Sort(inTurn); len(events) != 25 || !slices.Equal(inTurn, faults) {
			t.Errorf("seed %d: in turn %v of %d events", seed, inTurn, len(events))
		}
	}
	if different < 100 {
		t.Errorf("only %d of 100 seeds draw something of their own", different)
	}
}
