package release

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// MilestoneKind says what a milestone is.
type MilestoneKind string

// The kinds.
const (
	MilestonePreview      MilestoneKind = "Preview"      // it can be tried, and is not for production (L2)
	MilestoneAvailable    MilestoneKind = "Available"    // it becomes generally available
	MilestoneEndOfSupport MilestoneKind = "EndOfSupport" // the community's support ends
	MilestoneEndOfLTS     MilestoneKind = "EndOfLTS"     // long-term support ends
	MilestoneWithdrawn    MilestoneKind = "Withdrawn"    // a patch makes no new clusters any more
	MilestonePlan         MilestoneKind = "Plan"         // something is planned, without a date
)

// Milestone is something on the roadmap (N2).
type Milestone struct {
	// Date is a day, YYYY-MM-DD, the last moment of which counts; empty if none is set.
	Date string        `json:"date,omitempty"`
	Kind MilestoneKind `json:"kind"`
	// Subject is what it is about, such as "Kubernetes 1.38", and Message says it.
	Subject string `json:"subject"`
	Message string `json:"message"`
}

// Roadmap lists what comes by the catalogue and the calendar, the soonest first: previews,
// and the dates of versions that have not passed.
func (c *Catalogue) Roadmap(now time.Time) []Milestone {
	lives := map[string]Life{}
	var all []Milestone
	for minor, life := range calendar {
		lives[minor] = life
	}
	for _, r := range c.Releases {
		if r.Life != (Life{}) {
			lives[r.Minor()] = r.Life
		}
		if r.State == Preview || r.preview(now) {
			all = append(all, Milestone{Kind: MilestonePreview, Subject: "Kubernetes " + r.Version, Message: "It can be tried; it is not for production."})
		}
		if r.Removed != "" && !over(r.Removed, now) {
			all = append(all, Milestone{Date: r.Removed, Kind: MilestoneWithdrawn, Subject: "Kubernetes " + r.Version, Message: "It makes no new clusters from then on; those that run it keep it for 30 days."})
		}
	}
	for minor, life := range lives {
		all = append(all, lifeMilestones(minor, life, now)...)
	}
	SortMilestones(all)
	return all
}

func lifeMilestones(minor string, life Life, now time.Time) []Milestone {
	var all []Milestone
	for _, one := range []struct {
		date, message string
		kind          MilestoneKind
	}{
		{life.Released, "It becomes generally available.", MilestoneAvailable},
		{life.EndOfSupport, "Support ends, but for clusters with the plan AKSLongTermSupport.", MilestoneEndOfSupport},
		{life.EndOfLTS, "Long-term support ends.", MilestoneEndOfLTS},
	} {
		if one.date != "" && !over(one.date, now) {
			all = append(all, Milestone{Date: one.date, Kind: one.kind, Subject: "Kubernetes " + minor, Message: one.message})
		}
	}
	return all
}

// SortMilestones orders a roadmap: previews, what has a date, the soonest first, and then
// what has none.
func SortMilestones(all []Milestone) {
	order := func(m Milestone) string {
		switch {
		case m.Kind == MilestonePreview:
			return ""
		case m.Date == "":
			return "~"
		}
		return m.Date
	}
	slices.SortStableFunc(all, func(a, b Milestone) int {
		return cmp.Or(strings.Compare(order(a), order(b)), strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Subject, b.Subject))
	})
}
