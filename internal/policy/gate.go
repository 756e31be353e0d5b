package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth.dev/berth/internal/release"
)

// DefaultDeprecatedAPIWindow is how far back the use of a deprecated API blocks an
// upgrade (AKS: stop-cluster-upgrade-api-breaking-changes).
const DefaultDeprecatedAPIWindow = 12 * time.Hour

// firstGatedMinor is the first control plane whose upgrade to it is held up by
// deprecated APIs.
const firstGatedMinor = 26

// Budget is a disruption budget of a cluster, as far as an upgrade must know it.
type Budget struct {
	Namespace, Name string
	// MaxUnavailable and MinAvailable are written as in its spec: a number, a
	// percentage, or empty where it has the other.
	MaxUnavailable, MinAvailable string
	// ExpectedPods is how many pods it counts on.
	ExpectedPods int32
	// Nodes are those with pods of the budget that a drain would evict.
	Nodes []string
	// Shared is one of those pods that another budget selects too; nil if there is none.
	Shared *SharedPod
}

// SharedPod is a pod that several disruption budgets select. Kubernetes evicts none such,
// whatever the budgets allow.
type SharedPod struct {
	// Name, without its namespace, which is the budgets'.
	Name, Node string
	// Budgets are the names of all that select it, in order.
	Budgets []string
}

// APIUse is the use of an API that a later version does not have any more.
type APIUse struct {
	Group       string `json:"group,omitempty"`
	Version     string `json:"version"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
	// RemovedRelease is the first minor without it.
	RemovedRelease string `json:"removedRelease"`
	// Writes counts the requests other than get, list and watch that one API server got
	// since it was started.
	Writes int64 `json:"-"`
	// Legacy is in the records of a Berth that counted all API servers as one: what it says
	// is no count of any of them.
	Legacy *int64 `json:"writes,omitempty"`
	// Counts are the writes that each API server was last seen to have got, by its name
	// in APICount, and LastWritten is when one was last seen to grow.
	Counts      map[string]int64 `json:"counts,omitempty"`
	LastWritten time.Time        `json:"lastWritten,omitzero"`
}

// APICount is what one API server of a cluster counted.
type APICount struct {
	// Server names its process: another one counts from nothing.
	Server string
	// Uses is empty for one that is there and could not be asked yet.
	Uses []APIUse
}

// Gates is what is known of a cluster's content before an upgrade.
type Gates struct {
	Budgets []Budget
	Uses    []APIUse
	// Window is how far back a use counts.
	Window time.Duration
	Now    time.Time
}

// BlockingBudgets names the budgets that no drain can satisfy, alone or because they
// share a pod, and that have pods on nodes of the upgrade; budgets of pods elsewhere hold
// nothing up (AKS: error-code-unsatisfiablepdb).
func (g Gates) BlockingBudgets() []Violation {
	var out violations
	told := map[string]bool{}
	for _, budget := range g.Budgets {
		if pod := budget.Shared; pod != nil && !told[budget.Namespace+"/"+pod.Name] {
			told[budget.Namespace+"/"+pod.Name] = true
			out.add(CodeUnsatisfiablePDB, "", "PDBs %s/%s select pod %s/%s together, can't proceed with put operation: Kubernetes evicts no pod that more than one budget selects, so that node %s could never be drained of it. Change the selector of one, or set upgradeSettings.overrideSettings.forceUpgrade",
				budget.Namespace, strings.Join(pod.Budgets, " and "+budget.Namespace+"/"), budget.Namespace, pod.Name, pod.Node)
		}
		if reason := budget.unsatisfiable(); reason != "" && len(budget.Nodes) > 0 {
			out.add(CodeUnsatisfiablePDB, "", "PDB %s/%s has %s, can't proceed with put operation: node %s could never be drained of its pods. Change the budget, add replicas, or set upgradeSettings.overrideSettings.forceUpgrade",
				budget.Namespace, budget.Name, reason, budget.Nodes[0])
		}
	}
	return out
}

// unsatisfiable says why a budget never allows an eviction, or nothing.
func (b Budget) unsatisfiable() string {
	if b.MaxUnavailable != "" && scaled(b.MaxUnavailable, b.ExpectedPods) == 0 {
		return "maxUnavailable == 0"
	}
	if b.MinAvailable != "" && b.ExpectedPods > 0 && scaled(b.MinAvailable, b.ExpectedPods) >= b.ExpectedPods {
		return fmt.Sprintf("minAvailable(%s) >= expectedPods(%d)", b.MinAvailable, b.ExpectedPods)
	}
	return ""
}

// scaled reads a number or a percentage of pods, rounded up as Kubernetes does.
func scaled(text string, pods int32) int32 {
	digits, percent := strings.CutSuffix(text, "%")
	number, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return 0
	}
	if percent {
		return int32((number*int64(pods) + 99) / 100)
	}
	return int32(number)
}

// BlockingAPIs refuses a control plane's change of minor while APIs that the new one
// does not have are written to (AKS: stop-cluster-upgrade-api-breaking-changes).
func (g Gates) BlockingAPIs(running, target string) []Violation {
	to, err := release.Parse(target)
	if err != nil || to[1] < firstGatedMinor || minorsBetween(running, target) < 1 {
		return nil
	}
	var names []string
	for _, use := range g.Uses {
		if use.goneIn(to[1]) && !use.LastWritten.IsZero() && g.Now.Sub(use.LastWritten) <= g.Window {
			names = append(names, fmt.Sprintf("%s (removed in %s, last used %s)", use.name(), use.RemovedRelease, use.LastWritten.UTC().Format(time.RFC3339)))
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []Violation{{
		Code: CodeValidationError, Subcode: SubcodeDeprecatedAPI, Target: "kubernetesVersion",
		Message: fmt.Sprintf("Control Plane upgrade to %s is blocked due to recent usage of APIs that it does not have: %s. Move their users to newer versions, or bypass this validation with upgradeSettings.overrideSettings.forceUpgrade", target, strings.Join(names, ", ")),
	}}
}

// goneIn says whether a minor does not have the API any more.
func (u APIUse) goneIn(minor int) bool {
	_, text, _ := strings.Cut(u.RemovedRelease, ".")
	removed, err := strconv.Atoi(text)
	return err == nil && removed <= minor
}

// name is resource.version.group, with the subresource.
func (u APIUse) name() string {
	parts := []string{u.Resource, u.Version}
	if u.Group != "" {
		parts = append(parts, u.Group)
	}
	name := strings.Join(parts, ".")
	if u.Subresource != "" {
		name += "/" + u.Subresource
	}
	return name
}

// MergeUses brings what was known of APIs' use up to what each API server just counted:
// one that got more writes than it was last seen to have, or is seen for the first time
// and has some, got them since. What nobody counts any more keeps its last time, and the
// counts of a server that could not be asked are kept for when it can; those of one that
// is gone are dropped. A record without counts of each server begins with theirs: what
// they got before is no news.
func MergeUses(known []APIUse, counted []APICount, now time.Time) []APIUse {
	merged := map[string]APIUse{}
	before, legacy := map[string]map[string]int64{}, map[string]bool{}
	for _, use := range known {
		before[use.name()], legacy[use.name()] = use.Counts, use.Legacy != nil
		use.Writes, use.Counts, use.Legacy = 0, nil, nil
		merged[use.name()] = use
	}
	for _, server := range counted {
		for name, counts := range before {
			if last, ok := counts[server.Server]; ok {
				use := merged[name]
				use.note(server.Server, last)
				merged[name] = use
			}
		}
		for _, use := range server.Uses {
			old := merged[use.name()]
			writes := use.Writes
			use.Writes, use.Counts, use.LastWritten = 0, old.Counts, old.LastWritten
			if writes > before[use.name()][server.Server] && !legacy[use.name()] {
				use.LastWritten = now
			}
			use.note(server.Server, writes)
			merged[use.name()] = use
		}
	}
	return slices.SortedFunc(maps.Values(merged), func(a, b APIUse) int { return strings.Compare(a.name(), b.name()) })
}

// note keeps what a server counted.
func (u *APIUse) note(server string, writes int64) {
	if u.Counts == nil {
		u.Counts = map[string]int64{}
	}
	u.Counts[server] = writes
}
