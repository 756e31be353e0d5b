package support

import (
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// life is a service that looks at one cluster, with a machine's clock that may be
// wrong and a true one.
type life struct {
	evidence Evidence
	plan     policy.SupportPlan
	truth    time.Duration // since noon
	offset   time.Duration // of the machine's clock
	written  *v1beta1.SupportStatus
	notices  []time.Duration
	due      *Due
}

// look judges once. What is no news is not written, as the controller does it.
func (l *life) look() {
	verdict := Decide(l.written, l.evidence, l.plan, noon.Add(l.truth+l.offset))
	if News(l.written, verdict.Status, l.plan) {
		l.written = verdict.Status.DeepCopy()
	}
	for _, notice := range verdict.Notices {
		l.notices = append(l.notices, notice.Lead)
	}
	l.due = verdict.Due
}

func stoppedLife() *life {
	e := healthy()
	e.Stopped, e.StoppedSince = true, noon
	return &life{evidence: e, plan: defaults()}
}

// A machine whose clock leaps forward a year deletes nothing at once, nor does one
// that leaps every day: each leap costs twice the interval at most.
func TestALeapOfTheClockHurriesNothing(t *testing.T) {
	l := stoppedLife()
	l.look()
	l.offset = 365 * aDay
	for range 10 {
		l.look()
		l.truth += time.Second
	}
	if l.due != nil || len(l.notices) > 0 {
		t.Fatalf("after a leap of a year: due %+v, notices %v", l.due, l.notices)
	}
	if elapsed := l.written.Clocks[0].Elapsed.Duration; elapsed > 2*l.plan.Interval+10*time.Second {
		t.Errorf("a leap of a year counted as %s", elapsed)
	}
}

// Looks at any times, restarts, a service that is away for long, leaps to and fro: the
// clock never shows more than the time that truly passed and an allowance for each
// leap, and all of it where looks come in time and nothing leaps.
func TestClocksNeitherSkipNorHurry(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 7))
		l := stoppedLife()
		l.look()
		leaps, away := 0, time.Duration(0)
		for range 400 {
			step := time.Duration(random.Int64N(int64(l.plan.Interval)))
			switch random.IntN(20) {
			case 0: // the machine's clock leaps, either way
				leaps++
				l.offset = time.Duration(random.Int64N(int64(800*aDay))) - 400*aDay
			case 1: // the service is away
				step = time.Duration(random.Int64N(int64(10 * aDay)))
				away += step
			}
			l.truth += step
			l.look()
		}
		elapsed := l.written.Clocks[0].Elapsed.Duration
		allowed := time.Duration(leaps+1)*2*l.plan.Interval + time.Duration(leaps+1)*time.Second
		if elapsed > l.truth+allowed {
			t.Fatalf("seed %d: %s passed, %s counted, %d leaps", seed, l.truth, elapsed, leaps)
		}
		// A leap back loses what passed since the last look that was written.
		if lost := time.Duration(leaps+2) * 2 * l.plan.Interval; elapsed < l.truth-away-lost {
			t.Fatalf("seed %d: %s passed, %s of it away, %s counted, %d leaps", seed, l.truth, away, elapsed, leaps)
		}
	}
}

// Looks in time see a clock end when it must, whatever their rhythm, and give every
// notice once, in order, before.
func TestAClockRunsOutInTime(t *testing.T) {
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 9))
		l := stoppedLife()
		l.evidence = healthy()
		l.evidence.NoNodes = true
		for l.due == nil && l.truth < 40*aDay {
			l.look()
			l.truth += time.Second + time.Duration(random.Int64N(int64(l.plan.Interval)))
		}
		if l.due == nil || l.due.Act != v1beta1.ActStop || l.due.Clause != "J4" {
			t.Fatalf("seed %d: due %+v after %s", seed, l.due, l.truth)
		}
		if l.truth < 30*aDay || l.truth > 30*aDay+4*l.plan.Interval {
			t.Errorf("seed %d: stopped after %s, want 30 days", seed, l.truth)
		}
		if len(l.notices) != 3 || l.notices[0] != 14*aDay || l.notices[1] != 7*aDay || l.notices[2] != aDay {
			t.Errorf("seed %d: notices %v", seed, l.notices)
		}
	}
}

// Shorter figures do not act without their notice: the last one is given first, and
// its time waited for.
func TestShorterFiguresGiveNotice(t *testing.T) {
	l := stoppedLife()
	for l.truth < 100*aDay {
		l.look()
		l.truth += l.plan.Interval
	}
	l.plan.StoppedDelete = 30 * aDay
	changed := l.truth
	for l.due == nil && l.truth < changed+10*aDay {
		l.look()
		l.truth += l.plan.Interval
	}
	if l.due == nil || l.truth-changed < aDay || l.truth-changed > aDay+4*l.plan.Interval {
		t.Errorf("deleted %s after the figure changed, want a day: %+v", l.truth-changed, l.due)
	}
}

// A clock with less time than its last notice gives is not held up by it.
func TestShortClocks(t *testing.T) {
	l := stoppedLife()
	l.plan.StoppedDelete, l.plan.Interval = time.Minute, 10*time.Second
	for l.due == nil && l.truth < time.Hour {
		l.look()
		l.truth += time.Second
	}
	if l.truth < time.Minute || l.truth > time.Minute+5*time.Second || len(l.notices) != 1 {
		t.Errorf("deleted after %s with notices %v", l.truth, l.notices)
	}
}

// What runs is stored before it is lost, and nothing is written all the time.
func TestNews(t *testing.T) {
	e := healthy()
	e.Stopped, e.StoppedSince = true, noon
	first := Decide(nil, e, defaults(), noon).Status
	at := func(after time.Duration) v1beta1.SupportStatus {
		return Decide(&first, e, defaults(), noon.Add(after)).Status
	}
	for _, c := range []struct {
		why   string
		last  *v1beta1.SupportStatus
		next  v1beta1.SupportStatus
		write bool
	}{
		{"nothing is known yet", nil, first, true},
		{"a moment later", &first, at(time.Minute), false},
		{"an interval later: it would not all count", &first, at(defaults().Interval), true},
		{"the time went back", &first, at(-time.Hour), true},
		{"the evidence is gone", &first, v1beta1.SupportStatus{State: v1beta1.SupportSupported}, true},
	} {
		if got := News(c.last, c.next, defaults()); got != c.write {
			t.Errorf("%s: written %v", c.why, got)
		}
	}
	if first.Findings[0].Ends == nil || !first.Findings[0].Ends.Time.Equal(metav1.NewTime(noon.Add(365*aDay)).Time) {
		t.Errorf("ends %v", first.Findings[0].Ends)
	}
}
