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
	for n := range maxLeaps + 20 {
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

// On a machine that is off every night, a leap costs what was made before it and nobody
// else, however many there are.
func TestSeenClockOfAMachineThatIsOffAtNight(t *testing.T) {
	start := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	const days, on, seen = 80, 8 * time.Hour, 10 * time.Hour // two hours more than it runs, as that may have passed
	var clock SeenClock
	for n := range days {
		for hour := time.Duration(0); hour <= on; hour += time.Hour {
			clock, _ = clock.Look(start.Add(time.Duration(n)*day + hour))
		}
	}
	now := start.Add((days-1)*day + on)
	for _, made := range []int{0, 10, 30, 50, 70, days - 1} {
		want := time.Duration(days-1-made)*seen + on
		if got := clock.Age(start.Add(time.Duration(made)*day), now); got != want {
			t.Errorf("made on day %d: %s, want %s", made, got, want)
		}
	}
	first := clock.Leaps[0]
	for n := range maxLeaps {
		clock, _ = clock.Look(now.Add(time.Duration(n+1) * day))
	}
	if len(clock.Leaps) != maxLeaps || clock.Leaps[0].By != day-2*time.Hour || !clock.Leaps[0].At.After(first.At) {
		t.Errorf("the oldest are dropped, not added to others: %d, %+v", len(clock.Leaps), clock.Leaps[0])
	}
}
