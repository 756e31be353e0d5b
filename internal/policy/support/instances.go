package support

import (
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// Instance is a machine that was changed through the IaaS view (B3, G4).
type Instance struct {
	Node  string
	Since time.Time
	// By is who asked for it; empty if it is not known.
	By string
	// Power is what a machine is that was stopped.
	Power v1beta1.InstancePower
}

// Files are files of a node's image that were changed through the IaaS view (G2).
type Files struct {
	Node string
	v1beta1.ChangedFiles
}

// Tags are tags that the system made and that are not as it made them (B4).
type Tags struct {
	// Resource is what has them, and Keys are those that were changed or removed.
	Resource, By string
	Keys         []string
	// Since is when tags were last changed; zero if it is not known.
	Since time.Time
}

// maxShown is how many things a finding names.
const maxShown = 5

// shown joins the first of some parts.
func shown(parts []string) string {
	if more := len(parts) - maxShown; more > 0 {
		parts = append(parts[:maxShown:maxShown], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

// since is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func who(by string) string {
	if by == "" {
		return "somebody"
	}
	return by
}

func when(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// machinesOff finds machines that were stopped through the IaaS view.
func machinesOff(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
	if e.Stopped {
		return proof{}
	}
	var parts []string
	var since time.Time
	for _, one := range e.Off {
		parts = append(parts, fmt.Sprintf("%s made %s %s at %s", who(one.By), one.Node, strings.ToLower(string(one.Power)), when(one.Since)))
		since = earlier(since, one.Since)
	}
	return proof{shown(parts), since}
}

// allOff finds a cluster all of whose machines were stopped through the IaaS view. Since
// when is the clock's to say.
func allOff(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
	if !e.AllOff || e.Stopped {
		return proof{}
	}
	return proof{message: fmt.Sprintf("all %d machines were stopped through the IaaS view, which is no way to stop a cluster", len(e.Off))}
}

// machinesRemoved finds machines that were deleted through the IaaS view.
func machinesRemoved(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
	var parts []string
	var since time.Time
	for _, one := range e.Removed {
		parts = append(parts, fmt.Sprintf("%s deleted %s at %s", who(one.By), one.Node, when(one.Since)))
		since = earlier(since, one.Since)
	}
	return proof{shown(parts), since}
}

// filesChanged finds files of node images that were changed through the IaaS view.
func filesChanged(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
	var parts []string
	var since time.Time
	for _, one := range e.Files {
		parts = append(parts, fmt.Sprintf("a command that %s ran on %s at %s changed %d files of its image, such as %s",
			who(one.RequestedBy), one.Node, when(one.Time.Time), one.Count, strings.Join(one.Paths[:min(len(one.Paths), maxShown)], ", ")))
		since = earlier(since, one.Time.Time)
	}
	return proof{shown(parts), since}
}

// changedTags finds tags of the system's that are not as it made them.
func changedTags(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
	var parts []string
	var since time.Time
	for _, one := range e.Tags {
		text := fmt.Sprintf("%s changed tags %s of %s", who(one.By), strings.Join(one.Keys, ", "), one.Resource)
		if !one.Since.IsZero() {
			text += " at " + when(one.Since)
		}
		parts = append(parts, text)
		since = earlier(since, one.Since)
	}
	return proof{shown(parts), since}
}
