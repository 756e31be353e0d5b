package policy

import (
	"reflect"
	"testing"
	"time"
)

func TestBlockingBudgets(t *testing.T) {
	for _, c := range []struct {
		why    string
		budget Budget
		blocks bool
	}{
		{"none may be away", Budget{MaxUnavailable: "0", ExpectedPods: 3}, true},
		{"none of a hundred", Budget{MaxUnavailable: "0%", ExpectedPods: 3}, true},
		{"a hundredth is rounded up to one", Budget{MaxUnavailable: "1%", ExpectedPods: 3}, false},
		{"one may", Budget{MaxUnavailable: "1", ExpectedPods: 3}, false},
		{"all must be there", Budget{MinAvailable: "3", ExpectedPods: 3}, true},
		{"more than all", Budget{MinAvailable: "4", ExpectedPods: 3}, true},
		{"all of a hundred", Budget{MinAvailable: "100%", ExpectedPods: 3}, true},
		{"two thirds of three, rounded up, are three", Budget{MinAvailable: "67%", ExpectedPods: 3}, true},
		{"half of three are two", Budget{MinAvailable: "50%", ExpectedPods: 3}, false},
		{"one of one", Budget{MinAvailable: "1", ExpectedPods: 1}, true},
		{"no pods are none to evict", Budget{MinAvailable: "1", ExpectedPods: 0}, false},
	} {
		c.budget.Namespace, c.budget.Name, c.budget.Nodes = "default", "web", []string{"node1"}
		found := Gates{Budgets: []Budget{c.budget}}.BlockingBudgets()
		if c.blocks != has(found, CodeUnsatisfiablePDB, "") {
			t.Errorf("%s: %v", c.why, found)
		}
		c.budget.Nodes = nil
		if found := (Gates{Budgets: []Budget{c.budget}}).BlockingBudgets(); len(found) > 0 {
			t.Errorf("%s, but its pods are on none of the nodes that are replaced: %v", c.why, found)
		}
	}
}

func TestBlockingAPIs(t *testing.T) {
	use := APIUse{Group: "networking.k8s.io", Version: "v1beta1", Resource: "ipaddresses", RemovedRelease: "1.37", Writes: 3, LastWritten: today.Add(-time.Hour)}
	for _, c := range []struct {
		why, from, to string
		change        func(*APIUse)
		blocks        bool
	}{
		{"what the next minor does not have was written an hour ago", "1.36.3", "1.37.2", func(*APIUse) {}, true},
		{"it is long gone", "1.36.3", "1.37.2", func(u *APIUse) { u.RemovedRelease = "1.9" }, true},
		{"the next minor still has it", "1.35.4", "1.36.3", func(*APIUse) {}, false},
		{"a patch removes nothing", "1.37.1", "1.37.2", func(*APIUse) {}, false},
		{"more than twelve hours ago", "1.36.3", "1.37.2", func(u *APIUse) { u.LastWritten = today.Add(-12*time.Hour - time.Second) }, false},
		{"it was only read", "1.36.3", "1.37.2", func(u *APIUse) { u.Writes, u.LastWritten = 0, time.Time{} }, false},
		{"deprecated without an end", "1.36.3", "1.37.2", func(u *APIUse) { u.RemovedRelease = "" }, false},
		{"before 1.26 there was no gate", "1.24.0", "1.25.0", func(u *APIUse) { u.RemovedRelease = "1.25" }, false},
	} {
		changed := use
		c.change(&changed)
		found := Gates{Uses: []APIUse{changed}, Window: DefaultDeprecatedAPIWindow, Now: today}.BlockingAPIs(c.from, c.to)
		if c.blocks != (len(found) == 1 && found[0].Code == CodeValidationError && found[0].Subcode == SubcodeDeprecatedAPI) {
			t.Errorf("%s: %v", c.why, found)
		}
	}
}

func TestMergeUses(t *testing.T) {
	earlier := today.Add(-3 * time.Hour)
	use := func(writes int64, last time.Time) APIUse {
		return APIUse{Version: "v1beta1", Resource: "things", RemovedRelease: "1.37", Writes: writes, LastWritten: last}
	}
	for _, c := range []struct {
		why            string
		known, counted []APIUse
		want           []APIUse
	}{
		{"first seen", nil, []APIUse{use(2, time.Time{})}, []APIUse{use(2, today)}},
		{"first seen, only read", nil, []APIUse{use(0, time.Time{})}, []APIUse{use(0, time.Time{})}},
		{"not used since", []APIUse{use(2, earlier)}, []APIUse{use(2, time.Time{})}, []APIUse{use(2, earlier)}},
		{"used since", []APIUse{use(2, earlier)}, []APIUse{use(3, time.Time{})}, []APIUse{use(3, today)}},
		{"the API server began anew, and it was used", []APIUse{use(9, earlier)}, []APIUse{use(1, time.Time{})}, []APIUse{use(1, today)}},
		{"it began anew, and it was read", []APIUse{use(9, earlier)}, []APIUse{use(0, time.Time{})}, []APIUse{use(0, earlier)}},
		{"it began anew, and nobody asked: what was seen still counts", []APIUse{use(9, earlier)}, nil, []APIUse{use(0, earlier)}},
	} {
		if got := MergeUses(c.known, c.counted, today); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.why, got, c.want)
		}
	}
}
