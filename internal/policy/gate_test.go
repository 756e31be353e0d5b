package policy

import (
	"reflect"
	"strings"
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

// Two budgets that select one pod hold an upgrade up, though each of them would allow it.
func TestBudgetsThatShareAPod(t *testing.T) {
	shared := &SharedPod{Name: "web-1", Node: "node1", Budgets: []string{"all", "web"}}
	budget := func(name string, pod *SharedPod) Budget {
		return Budget{Namespace: "default", Name: name, MaxUnavailable: "1", ExpectedPods: 3, Nodes: []string{"node1"}, Shared: pod}
	}
	found := Gates{Budgets: []Budget{budget("all", shared), budget("web", shared)}}.BlockingBudgets()
	if len(found) != 1 || found[0].Code != CodeUnsatisfiablePDB {
		t.Fatalf("the pod is told of once: %v", found)
	}
	for _, part := range []string{"default/all and default/web", "pod default/web-1", "node node1", "forceUpgrade"} {
		if !strings.Contains(found[0].Message, part) {
			t.Errorf("%q does not say %q", found[0].Message, part)
		}
	}
	if found := (Gates{Budgets: []Budget{budget("all", nil), budget("web", nil)}}).BlockingBudgets(); len(found) > 0 {
		t.Errorf("budgets of different pods: %v", found)
	}
}

func TestBlockingAPIs(t *testing.T) {
	use := APIUse{Group: "networking.k8s.io", Version: "v1beta1", Resource: "ipaddresses", RemovedRelease: "1.37", LastWritten: today.Add(-time.Hour)}
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
		{"it was only read", "1.36.3", "1.37.2", func(u *APIUse) { u.LastWritten = time.Time{} }, false},
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
	type counts = map[string]int64
	use := func(counted counts, last time.Time) []APIUse {
		return []APIUse{{Version: "v1beta1", Resource: "things", RemovedRelease: "1.37", Counts: counted, LastWritten: last}}
	}
	got := func(server string, writes int64) APICount {
		return APICount{Server: server, Uses: []APIUse{{Version: "v1beta1", Resource: "things", RemovedRelease: "1.37", Writes: writes}}}
	}
	none := func(server string) APICount { return APICount{Server: server} }
	away := none
	legacy := func(last time.Time) []APIUse {
		nine := int64(9)
		return []APIUse{{Version: "v1beta1", Resource: "things", RemovedRelease: "1.37", Legacy: &nine, LastWritten: last}}
	}
	never := time.Time{}
	for _, c := range []struct {
		why     string
		known   []APIUse
		counted []APICount
		want    []APIUse
	}{
		{"first seen", nil, []APICount{got("a", 2)}, use(counts{"a": 2}, today)},
		{"first seen, only read", nil, []APICount{got("a", 0)}, use(counts{"a": 0}, never)},
		{"not used since", use(counts{"a": 2}, earlier), []APICount{got("a", 2)}, use(counts{"a": 2}, earlier)},
		{"used since", use(counts{"a": 2}, earlier), []APICount{got("a", 3)}, use(counts{"a": 3}, today)},
		{"it was only read, then written to", use(counts{"a": 0}, never), []APICount{got("a", 1)}, use(counts{"a": 1}, today)},
		{"servers count apart: one that has fewer is no news", use(counts{"a": 9, "b": 2, "c": 0}, earlier),
			[]APICount{got("c", 0), got("b", 2), got("a", 9)}, use(counts{"a": 9, "b": 2, "c": 0}, earlier)},
		{"a writer on another server than the first is seen", use(counts{"a": 9, "b": 2, "c": 0}, earlier),
			[]APICount{got("a", 9), got("b", 2), got("c", 1)}, use(counts{"a": 9, "b": 2, "c": 1}, today)},
		{"as is one on a server that none asked for the API before", use(counts{"a": 9}, earlier), []APICount{got("a", 9), got("b", 1)}, use(counts{"a": 9, "b": 1}, today)},
		{"a server was replaced, and written to", use(counts{"a": 9}, earlier), []APICount{got("a'", 1)}, use(counts{"a'": 1}, today)},
		{"as often as the one before it", use(counts{"a": 9}, earlier), []APICount{got("a'", 9)}, use(counts{"a'": 9}, today)},
		{"it was replaced, and read", use(counts{"a": 9}, earlier), []APICount{got("a'", 0)}, use(counts{"a'": 0}, earlier)},
		{"it was replaced, and nobody asked: what was seen still counts", use(counts{"a": 9}, earlier), []APICount{none("a'")}, use(nil, earlier)},
		{"one of three was replaced: what the others have is no news", use(counts{"a": 9, "b": 2, "c": 4}, earlier),
			[]APICount{got("a", 9), got("b", 2), none("c'")}, use(counts{"a": 9, "b": 2}, earlier)},
		{"one is not ready for a while", use(counts{"a": 9, "b": 2}, earlier), []APICount{got("a", 9), away("b")}, use(counts{"a": 9, "b": 2}, earlier)},
		{"it comes back with what it had", use(counts{"a": 9, "b": 2}, earlier), []APICount{got("a", 9), got("b", 2)}, use(counts{"a": 9, "b": 2}, earlier)},
		{"it comes back with more", use(counts{"a": 9, "b": 2}, earlier), []APICount{got("a", 9), got("b", 3)}, use(counts{"a": 9, "b": 3}, today)},
		{"recorded by a Berth that did not count apart: what they have is no news", legacy(earlier), []APICount{got("a", 9), got("b", 2)}, use(counts{"a": 9, "b": 2}, earlier)},
		{"recorded as only read by it", legacy(never), []APICount{got("a", 9)}, use(counts{"a": 9}, never)},
	} {
		if merged := MergeUses(c.known, c.counted, today); !reflect.DeepEqual(merged, c.want) {
			t.Errorf("%s: %+v, want %+v", c.why, merged, c.want)
		}
	}
}
