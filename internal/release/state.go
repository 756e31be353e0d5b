package release

import (
	"fmt"
	"time"
)

// State is the support state of a Kubernetes version (F4; AKS:
// supported-kubernetes-versions).
type State string

// The states of a version, in the order in which it passes them.
const (
	Preview   State = "preview"   // its minor is not generally available yet
	Supported State = "supported" // N, N-1 or N-2
	Platform  State = "platform"  // N-3, or past its end of support: clusters keep working, none is made
	Retired   State = "retired"   // older, or withdrawn
)

// The support plans of a cluster.
const (
	PlanOfficial = "KubernetesOfficial"
	PlanLTS      = "AKSLongTermSupport"
)

const (
	// supportedMinors are N and how many are supported before it (F4).
	supportedMinors = 2
	platformMinors  = 3
	// graceDays is how long the oldest minor stays supported after a new one ships.
	graceDays = 30
	// ltsPatches are how many of a minor's patches long-term support covers.
	ltsPatches = 2
)

// StateAt is a version's state at a time under a support plan; an empty plan is
// PlanOfficial. The newest minor stays supported past its dates: a Berth that has
// nothing newer would otherwise make no clusters.
func (c *Catalogue) StateAt(r Release, plan string, now time.Time) State {
	switch {
	case r.State != "":
		return r.State
	case r.preview(now):
		return Preview
	case over(r.Removed, now):
		return Retired
	case plan == PlanLTS && r.EndOfLTS != "" && !over(r.EndOfLTS, now) && c.newerPatches(r) < ltsPatches:
		return Supported
	}
	behind := c.newest(graceDays, now) - minorNumber(r.Version)
	expired := over(r.EndOfSupport, now) && minorNumber(r.Version) < c.newest(0, now)
	switch {
	case behind > platformMinors:
		return Retired
	case behind > supportedMinors || expired:
		return Platform
	default:
		return Supported
	}
}

// ForLTSOnly says whether long-term support alone still covers a version.
func (c *Catalogue) ForLTSOnly(r Release, now time.Time) bool {
	return c.StateAt(r, PlanOfficial, now) != Supported && c.StateAt(r, PlanLTS, now) == Supported
}

// Offered says whether new clusters can have a version: it is supported or a
// preview.
func (c *Catalogue) Offered(r Release, plan string, now time.Time) bool {
	state := c.StateAt(r, plan, now)
	return state == Supported || state == Preview
}

// DefaultAt is what a new cluster gets that asks for no version: the newest patch
// of N-1, or of N where N-1 is not there or not supported any more.
func (c *Catalogue) DefaultAt(now time.Time) Release {
	for back := 1; back >= 0; back-- {
		latest, ok := c.LatestPatch(c.MinorAt(back, now))
		if ok && c.StateAt(latest, PlanOfficial, now) == Supported {
			return latest
		}
	}
	return c.DefaultRelease()
}

// ResolveAt is Resolve for what new clusters ask: "" means DefaultAt.
func (c *Catalogue) ResolveAt(asked string, now time.Time) (Release, bool) {
	if asked == "" {
		fallback := c.DefaultAt(now)
		return fallback, fallback.Version != ""
	}
	return c.Resolve(asked)
}

// MinorAt names the minor that is so many behind N, the newest that is generally
// available: MinorAt(1) is N-1. It may not be in the catalogue.
func (c *Catalogue) MinorAt(behind int, now time.Time) string {
	newest := Release{}
	for _, r := range c.Releases {
		if !r.preview(now) && Compare(r.Version, newest.Version) > 0 {
			newest = r
		}
	}
	version, err := Parse(newest.Version)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d.%d", version[0], version[1]-behind)
}

// preview says whether a minor is not generally available yet.
func (r Release) preview(now time.Time) bool {
	return r.State == Preview || r.Released != "" && !over(r.Released, now)
}

// newest is the number of the newest minor that was available so many days ago, or
// of the newest of all if none was.
func (c *Catalogue) newest(days int, now time.Time) int {
	settled, any := 0, 0
	for _, r := range c.Releases {
		if r.preview(now) {
			continue
		}
		any = max(any, minorNumber(r.Version))
		if r.Released == "" || overSince(r.Released, days, now) {
			settled = max(settled, minorNumber(r.Version))
		}
	}
	if settled == 0 {
		return any
	}
	return settled
}

// newerPatches counts the patches of the same minor that came after.
func (c *Catalogue) newerPatches(r Release) int {
	count := 0
	for _, other := range c.Releases {
		if other.Minor() == r.Minor() && Compare(other.Version, r.Version) > 0 {
			count++
		}
	}
	return count
}

func minorNumber(version string) int {
	parsed, err := Parse(version)
	if err != nil {
		return 0
	}
	return parsed[1]
}
