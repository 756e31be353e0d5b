package policy

import (
	"slices"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

const day = 24 * time.Hour

// The defaults of ServicePolicy for the support policy.
const (
	DefaultSupportInterval = 10 * time.Minute
	DefaultSupportSettle   = 10 * time.Minute
	DefaultNoNodesStop     = 30 * day  // J3, J4
	DefaultStoppedDelete   = 365 * day // J2: 12 months
	DefaultSuspendedDelete = 90 * day  // J6
	DefaultNodeImageAge    = 90 * day  // F1
	DefaultChangedMetadata = day       // B4
	// DefaultVulnerabilityFixAge is how old a vendor's fix is when the service owes it (D12).
	DefaultVulnerabilityFixAge = 30 * day
)

// withdrawnGrace is how long clusters of a withdrawn patch stay supported (AKS:
// supported-kubernetes-versions).
const withdrawnGrace = 30 * day

// defaultNotices are given so long before a clock ends.
func defaultNotices() []time.Duration { return []time.Duration{14 * day, 7 * day, day} }

// SupportPlan is what ServicePolicy says of the support policy's clocks.
type SupportPlan struct {
	// Interval is the time between looks, and Settle how long nodes must be away.
	Interval, Settle                            time.Duration
	NoNodesStop, StoppedDelete, SuspendedDelete time.Duration
	// ArchiveAfter is zero for never (J5).
	ArchiveAfter                  time.Duration
	NodeImageAge, ChangedMetadata time.Duration
	VulnerabilityFixAge           time.Duration
	// Notices are the times before a clock's end, the longest first; never empty.
	Notices []time.Duration
}

// Support reads ServicePolicy.
func Support(spec v1beta1.ServicePolicySpec) SupportPlan {
	set := spec.Support
	if set == nil {
		set = &v1beta1.SupportPolicy{}
	}
	plan := SupportPlan{
		Interval:        durationOr(set.Interval, DefaultSupportInterval),
		Settle:          durationOr(set.Settle, DefaultSupportSettle),
		NoNodesStop:     durationOr(set.NoNodesStop, DefaultNoNodesStop),
		StoppedDelete:   durationOr(set.StoppedDelete, DefaultStoppedDelete),
		SuspendedDelete: durationOr(set.SuspendedDelete, DefaultSuspendedDelete),
		ArchiveAfter:    ArchiveAfter(spec),
		NodeImageAge:    durationOr(set.NodeImageAge, DefaultNodeImageAge),
		ChangedMetadata: durationOr(set.ChangedMetadata, DefaultChangedMetadata),

		VulnerabilityFixAge: durationOr(set.VulnerabilityFixAge, DefaultVulnerabilityFixAge),
	}
	for _, lead := range set.Notices {
		if lead.Duration > 0 {
			plan.Notices = append(plan.Notices, lead.Duration)
		}
	}
	if len(plan.Notices) == 0 {
		plan.Notices = defaultNotices()
	}
	slices.Sort(plan.Notices)
	slices.Reverse(plan.Notices)
	return plan
}

// SupportOf is the support state of a version that runs. One that is not in the
// catalogue any more has that of its minor; one that was withdrawn keeps its minor's
// for 30 days.
func (v Versions) SupportOf(running string) release.State {
	r, ok := v.Catalogue.Release(running)
	if !ok {
		r = release.Release{Version: running, Life: release.LifeOf(release.Minor(running))}
	}
	if removed, err := time.Parse(time.DateOnly, r.Removed); err == nil && v.Now.Before(removed.Add(day+withdrawnGrace)) {
		r.Removed = ""
	}
	return v.Catalogue.StateAt(r, v.Plan, v.Now)
}
