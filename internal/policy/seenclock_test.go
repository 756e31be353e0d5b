package policy

import (
	"testing"
	"time"
)

// A machine's clock that leaps, or a service that does not run, makes nothing older by
// more than two looks, and nothing younger for good.
func TestSeenClock(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	const year = 365 * day
	var clock SeenClock
	if age := clock.Age(start, start.Add(day)); age != day {
		t.Errorf("one that was never looked at believes the machine's: %s", age)
	}
	look := func(after time.Duration, changed bool) {
		t.Helper()
		var got bool
		if clock, got = ReadSeenClock(map[string]string{AnnotationSeenClock: clock.String()}).Look(start.Add(after)); got != changed {
			t.Errorf("at %s: changed is %v", after, got)
		}
	}
	age := func(why string, made, now, want time.Duration) {
		t.Helper()
		if got := clock.Age(start.Add(made), start.Add(now)); got != want {
			t.Errorf("%s: %s, want %s", why, got, want)
		}
	}
	look(0, true)
	look(59*time.Minute, false)
	look(time.Hour, true)
	age("nothing leapt", 0, 90*time.Minute, 90*time.Minute)
	leapt := year + time.Hour
	age("a leap that nobody noted", 0, leapt, 3*time.Hour)
	age("what came after the look leapt too", time.Hour+time.Minute, leapt, 2*time.Hour-time.Minute)
	age("what came after the leap did not", leapt-time.Second, leapt, 0)
	look(leapt, true)
	age("the leap is noted", 0, leapt+time.Minute, 3*time.Hour+time.Minute)
	age("what comes now is as old as it is", leapt, leapt+day, day-(22*time.Hour))
	for hours := range 24 {
		look(leapt+time.Duration(hours+1)*time.Hour, true)
	}
	age("time passes", 0, leapt+day, 27*time.Hour)
	age("also for what came after it", leapt, leapt+day, day)
	look(day+time.Hour, true) // it is set right
	if len(clock.Leaps) != 0 {
		t.Errorf("taken back: %+v", clock.Leaps)
	}
	age("as if it had not leapt", 0, day+time.Hour, day+time.Hour)
	for n := range 3 * maxLeaps {
		look(time.Duration(n+2)*10*day, true)
	}
	if len(clock.Leaps) != maxLeaps {
		t.Errorf("%d leaps are kept", len(clock.Leaps))
	}
	if got := (SeenClock{}).String(); ReadSeenClock(map[string]string{AnnotationSeenClock: got}).Observed != (time.Time{}) {
		t.Errorf("none is %s", got)
	}
	if broken := ReadSeenClock(map[string]string{AnnotationSeenClock: "x"}); !broken.Observed.IsZero() {
		t.Errorf("what cannot be read: %+v", broken)
	}
}
