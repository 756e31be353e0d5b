package support

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/clause"
	"berth.dev/berth/internal/release"
)

// Every row can be met, says what it must, and names a clause that there is.
func TestEveryRow(t *testing.T) {
	ways := ill()
	for _, r := range table {
		if !clause.Known(r.clause) {
			t.Errorf("%s: there is no clause %s", r.reason, r.clause)
		}
		worsen, ok := ways[r.reason]
		if !ok {
			t.Errorf("%s: the test has no evidence for it", r.reason)
			continue
		}
		e := healthy()
		worsen(&e)
		verdict := Decide(settled(time.Hour), e, defaults(), noon)
		if len(verdict.Status.Findings) != 1 {
			t.Errorf("%s: findings %+v", r.reason, verdict.Status.Findings)
			continue
		}
		f := verdict.Status.Findings[0]
		if f.Clause != string(r.clause) || f.Reason != r.reason || f.State != r.state || f.Act != r.act || f.WayBack == "" || f.Message == "" || f.Since.IsZero() {
			t.Errorf("%s: finding %+v", r.reason, f)
		}
		if verdict.Status.State != r.state {
			t.Errorf("%s: state %s, want %s", r.reason, verdict.Status.State, r.state)
		}
		if (f.Ends != nil) != (r.after != nil) {
			t.Errorf("%s: ends %v", r.reason, f.Ends)
		}
	}
	if len(ways) != len(table) {
		t.Errorf("%d kinds of evidence for %d rows", len(ways), len(table))
	}
}

func TestStates(t *testing.T) {
	for _, c := range []struct {
		why    string
		change func(*Evidence)
		want   v1beta1.SupportState
		due    *Due
	}{
		{"a healthy cluster is supported", func(*Evidence) {}, v1beta1.SupportSupported, nil},
		{"a stopped cluster is kept and supported (J1)", func(e *Evidence) { e.Stopped = true }, v1beta1.SupportSupported, nil},
		{"missing nodes do not count in a stopped cluster", func(e *Evidence) { e.Stopped, e.NoNodes = true, true }, v1beta1.SupportSupported, nil},
		{"N-3 has platform support", func(e *Evidence) { e.Versions[0].State = release.Platform }, v1beta1.SupportPlatformOnly, nil},
		{"one retired pool weighs more than a platform one", func(e *Evidence) {
			e.Versions[0].State, e.Versions[1].State = release.Platform, release.Retired
		}, v1beta1.SupportOutOfSupport, nil},
		{"an image is supported on its last day", func(e *Evidence) { e.Images[0].Built = noon.Add(-90*aDay + time.Second) }, v1beta1.SupportSupported, nil},
		{"a change of a day ago is forgotten", func(e *Evidence) {
			e.Changes = []Change{{"n", v1beta1.MetadataChange{Time: metav1.NewTime(noon.Add(-aDay)), Labels: []string{"a"}}}}
		}, v1beta1.SupportSupported, nil},
		{"a suspended subscription's cluster is stopped at once (J6)", func(e *Evidence) { e.Subscription = v1beta1.SubscriptionSuspended },
			v1beta1.SupportOutOfSupport, &Due{"J6", v1beta1.ActStop}},
		{"and is not stopped twice", func(e *Evidence) { e.Subscription, e.Stopped = v1beta1.SubscriptionSuspended, true }, v1beta1.SupportOutOfSupport, nil},
		{"a deleted subscription's cluster is deleted at once (J7)", func(e *Evidence) { e.Subscription = v1beta1.SubscriptionDeleted },
			v1beta1.SupportOutOfSupport, &Due{"J7", v1beta1.ActDelete}},
		{"no subscription object means that nobody said anything", func(e *Evidence) { e.Subscription = "" }, v1beta1.SupportSupported, nil},
	} {
		e := healthy()
		c.change(&e)
		verdict := Decide(nil, e, defaults(), noon)
		if verdict.Status.State != c.want {
			t.Errorf("%s: %s, want %s: %+v", c.why, verdict.Status.State, c.want, verdict.Status.Findings)
		}
		if (verdict.Due == nil) != (c.due == nil) || c.due != nil && *verdict.Due != *c.due {
			t.Errorf("%s: due %+v, want %+v", c.why, verdict.Due, c.due)
		}
	}
}

// Nodes that are away for a moment, as when a cluster's only machine is made anew,
// are no finding, and what the clock saw of it is forgotten when one is back.
func TestNodesAwayForAMoment(t *testing.T) {
	e, now := healthy(), noon
	e.NoNodes = true
	first := Decide(nil, e, defaults(), now)
	if len(first.Status.Findings) != 0 || first.Status.State != v1beta1.SupportSupported || len(first.Status.Clocks) != 1 {
		t.Fatalf("at once: %+v", first.Status)
	}
	now = now.Add(first.Again)
	second := Decide(&first.Status, e, defaults(), now)
	if len(second.Status.Findings) != 1 || second.Status.State != v1beta1.SupportOutOfSupport {
		t.Fatalf("after %s: %+v", first.Again, second.Status)
	}
	if since := second.Status.Findings[0].Since; !since.Time.Equal(noon) {
		t.Errorf("since %s, want %s", since, noon)
	}
	third := Decide(&second.Status, healthy(), defaults(), now.Add(time.Minute))
	if len(third.Status.Clocks) != 0 || len(third.Status.Findings) != 0 {
		t.Errorf("with a node again: %+v", third.Status)
	}
}

// While something is being changed nobody knows: the clock neither runs nor begins anew.
func TestAClockStandsWhileNobodyKnows(t *testing.T) {
	e, now := healthy(), noon
	e.NoNodes = true
	first := Decide(settled(aDay), e, defaults(), now)
	unknown := healthy()
	unknown.NodesUnknown = true
	second := Decide(&first.Status, unknown, defaults(), now.Add(time.Hour))
	third := Decide(&second.Status, e, defaults(), now.Add(time.Hour+time.Minute))
	of := func(v Verdict) v1beta1.SupportClock {
		for _, clock := range v.Status.Clocks {
			if clock.Clause == "J4" {
				return clock
			}
		}
		return v1beta1.SupportClock{}
	}
	if got, want := of(third).Elapsed.Duration, of(first).Elapsed.Duration+time.Minute; got != want || of(first).Elapsed.Duration < aDay {
		t.Errorf("an hour of which nobody knows, and a minute: %s after %s", got, of(first).Elapsed.Duration)
	}
	if second.Status.State != v1beta1.SupportOutOfSupport || len(second.Status.Findings) != 1 || second.Status.Findings[0].Reason != "NoNodes" {
		t.Errorf("what was found before is told no longer: %s %+v", second.Status.State, second.Status.Findings)
	}
	if begun := Decide(nil, unknown, defaults(), now); len(begun.Status.Clocks) != 0 || len(begun.Status.Findings) != 0 {
		t.Errorf("a clock began: %+v", begun.Status)
	}
}

// A stopped cluster is archived after 30 days that were seen to pass, with notice; a clock
// that leaps a year archives nothing at once. It is no operation (J5).
func TestArchiveClock(t *testing.T) {
	e, plan, now := healthy(), defaults(), noon
	e.Archivable = true
	last := Decide(nil, e, plan, now).Status
	now = now.Add(365 * aDay)
	if leapt := Decide(&last, e, plan, now); policy.ArchiveDue(&leapt.Status) || len(leapt.Notices) != 0 {
		t.Errorf("a leap of a year: %+v, notices %+v", leapt.Status.Clocks, leapt.Notices)
	}
	notices, looked := 0, time.Duration(0)
	for ; !policy.ArchiveDue(&last) && looked < 40*aDay; looked += plan.Interval {
		now = now.Add(plan.Interval)
		verdict := Decide(&last, e, plan, now)
		if verdict.Due != nil {
			t.Fatalf("an operation is asked for: %+v", verdict.Due)
		}
		notices += len(verdict.Notices)
		last = verdict.Status
	}
	if looked < 30*aDay-2*plan.Interval || looked > 30*aDay || notices != len(plan.Notices) {
		t.Errorf("due after %s of looks, with %d notices", looked, notices)
	}
	plan.ArchiveAfter = 0
	if never := Decide(&last, e, plan, now); policy.ArchiveDue(&never.Status) || len(never.Status.Clocks) != 0 {
		t.Errorf("archived though that is off: %+v", never.Status)
	}
}

// More evidence never gives a better state, nor takes an act away or puts it off.
func TestWorseEvidenceIsNeverBetter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	ways := ill()
	names := slices.Sorted(maps.Keys(ways))
	for range 500 {
		e := healthy()
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		elapsed := time.Duration(random.Int64N(int64(400 * aDay)))
		last := settled(elapsed)
		before := Decide(last, e, defaults(), noon)
		for _, name := range names[:random.IntN(len(names))] {
			if name == "Stopped" || strings.HasPrefix(name, "Subscription") && e.Subscription != v1beta1.SubscriptionEnabled {
				continue // being stopped is no worse, and a subscription has one state
			}
			ways[name](&e)
			after := Decide(last, e, defaults(), noon)
			if rank[after.Status.State] < rank[before.Status.State] {
				t.Fatalf("%s made %s of %s", name, after.Status.State, before.Status.State)
			}
			if before.Due != nil && (after.Due == nil || before.Due.Act == v1beta1.ActDelete && after.Due.Act != v1beta1.ActDelete) {
				t.Fatalf("%s made %+v of %+v", name, after.Due, before.Due)
			}
			before = after
		}
	}
}

// Of several clocks the one that ends first acts first, and a deletion goes before a stop.
func TestTheEarliestClockWins(t *testing.T) {
	e := healthy()
	e.Stopped, e.StoppedSince, e.Subscription = true, noon, v1beta1.SubscriptionSuspended
	status, now := (*v1beta1.SupportStatus)(nil), noon
	for range 100 * 24 * 6 {
		verdict := Decide(status, e, defaults(), now)
		status = &verdict.Status
		if verdict.Due != nil {
			if verdict.Due.Clause != "J6" || verdict.Due.Act != v1beta1.ActDelete {
				t.Fatalf("due after %s: %+v", now.Sub(noon), verdict.Due)
			}
			if passed := now.Sub(noon); passed < 90*aDay || passed > 90*aDay+2*defaults().Interval {
				t.Errorf("due after %s, want 90 days", passed)
			}
			return
		}
		now = now.Add(defaults().Interval)
	}
	t.Error("nothing was due in 100 days")
}

// What holds for a figure of ServicePolicy holds for AKS's own.
func TestDefaults(t *testing.T) {
	plan := defaults()
	if plan.NoNodesStop != 30*aDay || plan.StoppedDelete != 365*aDay || plan.SuspendedDelete != 90*aDay || plan.NodeImageAge != 90*aDay ||
		!slices.Equal(plan.Notices, []time.Duration{14 * aDay, 7 * aDay, aDay}) {
		t.Errorf("AKS's figures: %+v", plan)
	}
	set := policy.Support(v1beta1.ServicePolicySpec{Support: &v1beta1.SupportPolicy{
		NoNodesStop: &metav1.Duration{Duration: -time.Hour}, Notices: []metav1.Duration{{Duration: time.Hour}, {Duration: 0}, {Duration: 3 * time.Hour}},
	}})
	if set.NoNodesStop != 30*aDay || !slices.Equal(set.Notices, []time.Duration{3 * time.Hour, time.Hour}) {
		t.Errorf("what makes no sense is left out: %+v", set)
	}
}
