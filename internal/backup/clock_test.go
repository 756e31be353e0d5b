package backup

import (
	"testing"
	"time"
)

// A clock that is set back takes the recovery point with it, and only what is stored
// afterwards moves that.
func TestRecoveryPointIsNotAheadOfTheClock(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	now := noon
	r := NewRecorder(Config{Now: func() time.Time { return now }})
	r.holds(7, noon)
	now = noon.Add(-3 * time.Hour)
	back := now
	if point := r.State().RecoveryPoint; !point.Equal(back) {
		t.Errorf("the clock says %s, the recovery point is %s", back, point)
	}
	now = back.Add(time.Hour)
	if point := r.State().RecoveryPoint; !point.Equal(back) {
		t.Errorf("nothing was stored, and the recovery point moved to %s", point)
	}
	r.holds(8, now)
	if point := r.State().RecoveryPoint; !point.Equal(now) {
		t.Errorf("stored at %s, the recovery point is %s", now, point)
	}
}
