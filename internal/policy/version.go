package policy

import (
	"slices"
	"time"

	"berth.dev/berth/internal/release"
)

// Versions decides which versions may follow which: the catalogue at a moment,
// under a cluster's support plan.
type Versions struct {
	Catalogue *release.Catalogue
	// Plan is release.PlanOfficial (also when empty) or release.PlanLTS.
	Plan string
	Now  time.Time
}

// The minors that a pool may be behind its control plane, and the first control
// plane for which it is more (AKS: upgrade-aks-control-plane, upgrade-node-pools).
const (
	maxSkewMinors      = 3
	maxSkewMinorsOld   = 2
	firstWideSkewMinor = 28
)

// SkewAllowed says whether nodes of one version may join a control plane of
// another: never newer, and at most three minors older, two before 1.28.
func SkewAllowed(controlPlane, pool string) bool {
	cp, err := release.Parse(controlPlane)
	if err != nil {
		return false
	}
	p, err := release.Parse(pool)
	if err != nil {
		return false
	}
	return cp[0] == p[0] && release.Compare(pool, controlPlane) <= 0 && cp[1]-p[1] <= maxSkew(controlPlane)
}

func maxSkew(controlPlane string) int {
	if cp, err := release.Parse(controlPlane); err == nil && cp[1] < firstWideSkewMinor {
		return maxSkewMinorsOld
	}
	return maxSkewMinors
}

// Target is what a version means to something that runs another: nothing, or the
// minor that runs, never changes it (AKS: supported-kubernetes-versions); a minor
// means its newest patch. It says false for a version that is not in the catalogue
// and does not run.
func (v Versions) Target(asked, running string) (string, bool) {
	if running != "" && (asked == "" || asked == running || asked == release.Minor(running)) {
		return running, true
	}
	found, ok := v.Catalogue.ResolveAt(asked, v.Now)
	return found.Version, ok
}

// PoolTarget is Target for a pool: nothing means the control plane's version for
// one that has none yet, and a minor the newest patch that the control plane allows.
func (v Versions) PoolTarget(asked, running, controlPlane string) (string, bool) {
	switch {
	case running != "" && (asked == "" || asked == running || asked == release.Minor(running)):
		return running, true
	case asked == "" || asked == controlPlane || asked == release.Minor(controlPlane):
		return controlPlane, controlPlane != ""
	}
	found, ok := v.Catalogue.Resolve(asked)
	return found.Version, ok
}

// Offered lists what new clusters can have, newest first.
func (v Versions) Offered() []release.Release {
	return slices.DeleteFunc(v.Catalogue.Sorted(), func(r release.Release) bool {
		return !v.Catalogue.Offered(r, v.Plan, v.Now)
	})
}

// SupportPlans lists the support plans under which new clusters can have a version: every
// supported one is eligible for long-term support, which alone covers some of those that
// are older (AKS: long-term-support). Previews have none beside the official plan.
func (v Versions) SupportPlans(r release.Release) []string {
	var plans []string
	if v.Catalogue.Offered(r, release.PlanOfficial, v.Now) {
		plans = append(plans, release.PlanOfficial)
	}
	if v.Catalogue.StateAt(r, release.PlanLTS, v.Now) == release.Supported {
		plans = append(plans, release.PlanLTS)
	}
	return plans
}

// Upgrades lists what a control plane can move to, oldest first: newer patches of
// its minor and the next minor, or, from a version out of support, the oldest minor
// that is in support. Under long-term support it is every later minor whose control
// plane nodes of the version that runs may have (AKS: supported-kubernetes-versions,
// long-term-support). It never moves down.
func (v Versions) Upgrades(running string) []release.Release {
	from, err := release.Parse(running)
	if err != nil {
		return nil
	}
	next := from[1] + 1
	if v.outOfSupport(running) {
		next = max(next, v.oldestSupported())
	}
	return v.between(running, func(r release.Release) bool {
		to, err := release.Parse(r.Version)
		reached := err == nil && to[0] == from[0] && (to[1] == from[1] || to[1] == next || v.skips(running, r))
		return reached && v.Catalogue.Offered(r, v.Plan, v.Now)
	})
}

// skips says whether long-term support leads to a later minor past those between, through
// which its control plane can pass.
func (v Versions) skips(running string, to release.Release) bool {
	if v.Plan != release.PlanLTS || !SkewAllowed(to.Version, running) || v.Catalogue.StateAt(to, v.Plan, v.Now) != release.Supported {
		return false
	}
	for at := running; minorsBetween(at, to.Version) > 1; {
		step := NextStep(v.Catalogue, at, to)
		if minorsBetween(at, step.Version) != 1 {
			return false
		}
		at = step.Version
	}
	return true
}

// NextStep is what a control plane runs next on its way to a version: API servers
// that are two minors apart may not share an etcd (Kubernetes: version-skew-policy),
// so that it passes through the newest patch of each minor between that the
// catalogue has.
func NextStep(catalogue *release.Catalogue, running string, target release.Release) release.Release {
	step := target
	for _, r := range catalogue.Releases {
		ahead, left := minorsBetween(running, r.Version), minorsBetween(r.Version, target.Version)
		if ahead < 1 || left < 1 || r.Removed != "" {
			continue
		}
		nearer := minorsBetween(r.Version, step.Version)
		if nearer > 0 || nearer == 0 && release.Compare(r.Version, step.Version) > 0 {
			step = r
		}
	}
	return step
}

// PoolUpgrades lists what a pool can move to, oldest first: anything newer that its
// control plane allows. Nodes are made anew, so that they may skip minors.
func (v Versions) PoolUpgrades(running, controlPlane string) []release.Release {
	return v.between(running, func(r release.Release) bool { return v.poolMay(r, controlPlane) })
}

// PoolVersions lists what a new pool can have, newest first.
func (v Versions) PoolVersions(controlPlane string) []release.Release {
	found := v.between("", func(r release.Release) bool { return v.poolMay(r, controlPlane) })
	slices.Reverse(found)
	return found
}

// poolMay says whether nodes may get a version beside a control plane: one that is
// offered, or the control plane's own whatever its state.
func (v Versions) poolMay(r release.Release, controlPlane string) bool {
	return SkewAllowed(controlPlane, r.Version) && (r.Version == controlPlane || v.Catalogue.Offered(r, v.Plan, v.Now))
}

// between lists the wanted releases after a version, oldest first.
func (v Versions) between(after string, wanted func(release.Release) bool) []release.Release {
	var found []release.Release
	for _, r := range v.Catalogue.Sorted() {
		if release.Compare(r.Version, after) > 0 && wanted(r) {
			found = append(found, r)
		}
	}
	slices.Reverse(found)
	return found
}

// outOfSupport says whether a running version has left even platform support. One
// that is not in the catalogue any more has.
func (v Versions) outOfSupport(running string) bool {
	r, ok := v.Catalogue.Release(running)
	if !ok {
		r = release.Release{Version: running, Life: release.LifeOf(release.Minor(running))}
	}
	return v.Catalogue.StateAt(r, v.Plan, v.Now) == release.Retired && r.Removed == ""
}

func (v Versions) oldestSupported() int {
	oldest := 0
	for _, r := range v.Offered() {
		if parsed, err := release.Parse(r.Version); err == nil && v.Catalogue.StateAt(r, v.Plan, v.Now) == release.Supported {
			oldest = parsed[1]
		}
	}
	return oldest
}

// Names are the version numbers of releases, in their order.
func Names(releases []release.Release) []string {
	names := make([]string, 0, len(releases))
	for _, r := range releases {
		names = append(names, r.Version)
	}
	return names
}

func includes(releases []release.Release, version string) bool {
	return slices.ContainsFunc(releases, func(r release.Release) bool { return r.Version == version })
}
