package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// act is an entry of a kind that is so old.
func act(name string, kind ActivityKind, age time.Duration, now time.Time) *v1beta1.ActivityLogEntry {
	entry := &v1beta1.ActivityLogEntry{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.ActivitySpec{Time: metav1.NewMicroTime(now.Add(-age))}}
	if kind != ActivityOwn {
		entry.Spec.Request = &v1beta1.ActivityRequest{Method: "PUT"}
	}
	switch kind {
	case ActivityRefused:
		entry.Status.Answer = &v1beta1.ActivityResult{Code: v1beta1.ActivityFailed}
	case ActivityDone:
		entry.Status.Answer = &v1beta1.ActivityResult{Code: v1beta1.ActivitySucceeded}
	}
	return entry
}

func ended(entry *v1beta1.ActivityLogEntry) *v1beta1.ActivityLogEntry {
	entry.Status.End = &v1beta1.ActivityResult{Code: v1beta1.ActivitySucceeded}
	return entry
}

func TestOutdatedActivity(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	two := int32(2)
	plan := ActivityLog(v1beta1.ServicePolicySpec{ActivityLog: &v1beta1.ActivityLogPolicy{Entries: &two}})
	if plan.Retention != 90*day {
		t.Fatalf("retention is %s", plan.Retention)
	}
	for _, c := range []struct {
		why     string
		entries []*v1beta1.ActivityLogEntry
		want    []string
		next    time.Duration
	}{
		{why: "nothing is there"},
		{why: "what is young and within the limit stays", entries: []*v1beta1.ActivityLogEntry{act("a", ActivityDone, time.Hour, now), act("b", ActivityDone, 89*day, now)}, next: day},
		{why: "what is 90 days old goes", entries: []*v1beta1.ActivityLogEntry{act("a", ActivityDone, 90*day, now)}, want: []string{"a"}},
		{why: "the oldest goes first", entries: []*v1beta1.ActivityLogEntry{
			act("old", ActivityDone, 3*day, now), act("new", ActivityDone, day, now), act("middle", ActivityDone, 2*day, now),
		}, want: []string{"old"}, next: 88 * day},
		{why: "a flood of refusals takes nobody's room", entries: []*v1beta1.ActivityLogEntry{
			act("own", ActivityOwn, 80*day, now), act("done", ActivityDone, 70*day, now),
			act("r1", ActivityRefused, 1, now), act("r2", ActivityRefused, 2, now), act("r3", ActivityRefused, 3, now),
		}, want: []string{"r3"}, next: 10 * day},
		{why: "nor do a customer's acts take that of Berth's", entries: []*v1beta1.ActivityLogEntry{
			act("own", ActivityOwn, 80*day, now), act("d1", ActivityDone, 1, now), act("d2", ActivityDone, 2, now), act("d3", ActivityDone, 3, now),
		}, want: []string{"d3"}, next: 10 * day},
		{why: "requests that were never answered take no room of those that were", entries: []*v1beta1.ActivityLogEntry{
			act("done", ActivityDone, 70*day, now), act("b1", ActivityBegun, 1, now), act("b2", ActivityBegun, 2, now), act("b3", ActivityBegun, 3, now),
		}, want: []string{"b3"}, next: 20 * day},
		{why: "one whose Operation ended is done, though its answer was lost", entries: []*v1beta1.ActivityLogEntry{
			act("d1", ActivityDone, 1, now), act("d2", ActivityDone, 2, now), ended(act("lost", ActivityBegun, 3, now)),
		}, want: []string{"lost"}, next: 90*day - 2},
	} {
		outdated, next := OutdatedActivity(slices.Clone(c.entries), plan, SeenClock{}, now)
		var got []string
		for _, entry := range outdated {
			got = append(got, entry.Name)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || next != c.next {
			t.Errorf("%s: %v, next in %s; want %v in %s", c.why, got, next, c.want, c.next)
		}
	}
}

// A clock that leaps a year leaves the log as it is.
func TestActivityOutlivesALeap(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	entries := []*v1beta1.ActivityLogEntry{act("young", ActivityDone, day, now), act("old", ActivityDone, 90*day, now)}
	clock, _ := SeenClock{}.Look(now)
	outdated, next := OutdatedActivity(entries, ActivityLog(v1beta1.ServicePolicySpec{}), clock, now.Add(365*day))
	if len(outdated) != 1 || outdated[0].Name != "old" || next != 89*day-2*SeenLook {
		t.Errorf("%d are outdated, the next in %s", len(outdated), next)
	}
}
