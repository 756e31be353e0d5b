package support

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/clause"
	"berth.dev/berth/internal/release"
)

// rank orders the states: a higher one is worse.
var rank = map[v1beta1.SupportState]int{
	v1beta1.SupportSupported:    0,
	v1beta1.SupportArchived:     1,
	v1beta1.SupportBestEffort:   2,
	v1beta1.SupportPlatformOnly: 3,
	v1beta1.SupportOutOfSupport: 4,
}

// proof is what a row found: the evidence in words, and since when it is there; zero
// means since it was first seen. Nothing found is an empty message.
type proof struct {
	message string
	since   time.Time
}

// row is one thing that the policy says of clusters. Of the rows of one clause at most one
// has a clock, unless they never hold at the same time.
type row struct {
	clause clause.ID
	reason string
	found  func(Evidence, policy.SupportPlan, time.Time) proof
	// state is what it makes of the cluster.
	state v1beta1.SupportState
	// act comes when the clock has run out, which is at once where after is nil. Empty
	// for what has no clock.
	act   v1beta1.SupportAct
	after func(policy.SupportPlan) time.Duration
	// atOnce is an act that comes right away, until it is done.
	atOnce func(Evidence) v1beta1.SupportAct
	// unknown says that the evidence can be neither had nor ruled out: the clock stands, or
	// without one what was found.
	unknown func(Evidence) bool
	// settles says that the evidence must have lasted for SupportPlan.Settle.
	settles bool
	// back is what ends it.
	back string
}

// table is the support policy of a running service.
var table = []row{
	{clause: "F4", reason: "VersionOutOfSupport", state: v1beta1.SupportOutOfSupport, found: versions(release.Retired, "is out of support"),
		back: "Upgrade to a supported version: `berth cluster get-upgrades` lists them."},
	{clause: "F4", reason: "VersionPlatformSupport", state: v1beta1.SupportPlatformOnly, found: versions(release.Platform, "has platform support only"),
		back: "Upgrade to a supported version: `berth cluster get-upgrades` lists them."},
	{clause: "L3", reason: "VersionPreview", state: v1beta1.SupportBestEffort, found: versions(release.Preview, "is a preview, supported as best effort in business hours"),
		back: "Wait until the version is generally available; do not use previews in production."},
	{clause: "F1", reason: "NodeImageTooOld", state: v1beta1.SupportOutOfSupport, found: oldImages,
		back: "Upgrade the node image: `berth nodepool upgrade --node-image-only`, or a channel that does it by itself."},
	{clause: "B4", reason: "SystemMetadataChanged", state: v1beta1.SupportOutOfSupport, found: changedMetadata,
		back: "Berth has put it back. Leave labels that the system made alone; the finding ends when nothing was changed for a while."},
	{clause: "B4", reason: "SystemTagsChanged", state: v1beta1.SupportOutOfSupport, found: changedTags,
		back: "Put the tags back as they were, or change the cluster or the node pool through the service, which does so. Tags of your own are yours."},
	{clause: "B3", reason: "MachinesStopped", state: v1beta1.SupportOutOfSupport, found: machinesOff,
		back: "Start the machines (`az vmss start`), or update their node pool, also without a change: `berth nodepool update`. To have fewer nodes, scale the pool; to have none for a while, stop the pool or the cluster."},
	{clause: "G4", reason: "MachinesDeleted", state: v1beta1.SupportOutOfSupport, found: machinesRemoved,
		back: "Scale the node pool through the service, or update it, also without a change: `berth nodepool scale`, `berth nodepool update`."},
	{clause: "G2", reason: "NodeFilesChanged", state: v1beta1.SupportOutOfSupport, found: filesChanged,
		back: "Reimage the nodes: `az vmss reimage`, or upgrade the node image; a restart is enough. Customise nodes with DaemonSets instead."},
	{clause: "D4", reason: "WebhookOnSystem", state: v1beta1.SupportSupported, found: webhooksOnSystem, unknown: webhooksUnknown,
		back: "While such a webhook does not answer, nodes and components of the system fail, and that is not the service's to mend. Leave kube-system and kube-node-lease out with its namespaceSelector, name fewer resources in its rules, or give it failurePolicy Ignore."},
	{clause: "J3", reason: "AllMachinesStopped", state: v1beta1.SupportOutOfSupport, found: allOff, unknown: nodesUnknown, settles: true,
		act: v1beta1.ActStop, after: func(p policy.SupportPlan) time.Duration { return p.NoNodesStop },
		back: "Start the machines: `az vmss start`. To keep the cluster without nodes, stop it: `berth cluster stop`."},
	{clause: "J4", reason: "NoNodes", state: v1beta1.SupportOutOfSupport, found: noNodes, unknown: nodesUnknown, settles: true,
		act: v1beta1.ActStop, after: func(p policy.SupportPlan) time.Duration { return p.NoNodesStop },
		back: "Have at least one node run and become Ready. To keep the cluster without nodes, stop it: `berth cluster stop`."},
	{clause: "J2", reason: "Stopped", state: v1beta1.SupportSupported, found: stopped,
		act: v1beta1.ActDelete, after: func(p policy.SupportPlan) time.Duration { return p.StoppedDelete },
		back: "Start the cluster: `berth cluster start`."},
	{clause: "J5", reason: "ArchiveAhead", state: v1beta1.SupportSupported, found: archiveAhead,
		act: v1beta1.ActArchive, after: func(p policy.SupportPlan) time.Duration { return p.ArchiveAfter },
		back: "Start the cluster: `berth cluster start`. Its data are kept either way."},
	{clause: "J5", reason: "Archived", state: v1beta1.SupportArchived, found: archived,
		back: "Start the cluster, or PUT it or a pool of it as it shall be: its control plane is allocated again from its backups."},
	{clause: "J6", reason: "SubscriptionWarned", state: v1beta1.SupportSupported, found: subscription(v1beta1.SubscriptionWarned, "its subscription is Warned; when it is suspended the cluster is stopped at once"),
		back: "Settle what the subscription was warned of."},
	{clause: "J6", reason: "SubscriptionSuspended", state: v1beta1.SupportOutOfSupport, found: subscription(v1beta1.SubscriptionSuspended, "its subscription is Suspended: the cluster is stopped, and kept for a while"),
		act: v1beta1.ActDelete, after: func(p policy.SupportPlan) time.Duration { return p.SuspendedDelete }, atOnce: stopUnlessStopped,
		back: "Have the subscription enabled again, then start the cluster: `berth cluster start`."},
	{clause: "J7", reason: "SubscriptionDeleted", state: v1beta1.SupportOutOfSupport, found: subscription(v1beta1.SubscriptionDeleted, "its subscription is Deleted"),
		act: v1beta1.ActDelete, back: "None: clusters of a deleted subscription are deleted at once."},
}

// worst orders the states of versions for those that need a finding.
var worst = []release.State{release.Retired, release.Platform, release.Preview}

// versions finds what runs in a state, unless something runs in a worse one of the
// same clause.
func versions(state release.State, what string) func(Evidence, policy.SupportPlan, time.Time) proof {
	return func(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
		var parts []string
		for _, v := range e.Versions {
			if state == release.Platform && v.State == worst[0] {
				return proof{}
			}
			if v.State == state {
				parts = append(parts, v.Part+" runs "+v.Version)
			}
		}
		if len(parts) == 0 {
			return proof{}
		}
		return proof{message: fmt.Sprintf("%s, which %s", strings.Join(parts, ", "), what)}
	}
}

func nodesUnknown(e Evidence) bool { return e.NodesUnknown }

func oldImages(e Evidence, plan policy.SupportPlan, now time.Time) proof {
	var parts []string
	var since time.Time
	for _, image := range e.Images {
		late := image.Built.Add(plan.NodeImageAge)
		if now.Before(late) {
			continue
		}
		parts = append(parts, fmt.Sprintf("node pool %s has %s", image.Pool, image.Version))
		if since.IsZero() || late.Before(since) {
			since = late
		}
	}
	if len(parts) == 0 {
		return proof{}
	}
	return proof{fmt.Sprintf("%s, older than %s", strings.Join(parts, ", "), Words(plan.NodeImageAge)), since}
}

func changedMetadata(e Evidence, plan policy.SupportPlan, now time.Time) proof {
	var parts []string
	var since time.Time
	for _, change := range e.Changes {
		at := change.Time.Time
		if !now.Before(at.Add(plan.ChangedMetadata)) {
			continue
		}
		who := change.Manager
		if who == "" {
			who = "somebody"
		}
		parts = append(parts, fmt.Sprintf("%s changed %s of node %s at %s", who, strings.Join(slices.Concat(change.Labels, change.Annotations), ", "), change.Node, at.UTC().Format(time.RFC3339)))
		if since.IsZero() || at.Before(since) {
			since = at
		}
	}
	return proof{strings.Join(parts, "; "), since}
}

func noNodes(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
	if !e.NoNodes || e.Stopped {
		return proof{}
	}
	return proof{message: fmt.Sprintf("no node is Ready and no machine runs, of %d", e.Machines)}
}

func stopped(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
	if !e.Stopped {
		return proof{}
	}
	return proof{message: "the cluster is stopped; its state is kept for a while", since: e.StoppedSince}
}

func archiveAhead(e Evidence, plan policy.SupportPlan, _ time.Time) proof {
	if !e.Archivable || plan.ArchiveAfter == 0 {
		return proof{}
	}
	return proof{message: "the cluster is stopped; in time nothing of its control plane is kept but its backups", since: e.StoppedSince}
}

func archived(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
	if e.ArchivedSince.IsZero() {
		return proof{}
	}
	return proof{message: "the control plane is archived: its backups were proven, and its volume is gone", since: e.ArchivedSince}
}

func subscription(state v1beta1.SubscriptionState, message string) func(Evidence, policy.SupportPlan, time.Time) proof {
	return func(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
		if e.Subscription != state {
			return proof{}
		}
		return proof{message: message}
	}
}

func stopUnlessStopped(e Evidence) v1beta1.SupportAct {
	if e.Stopped {
		return ""
	}
	return v1beta1.ActStop
}

// Words is a duration for people: days where it has some.
func Words(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= day:
		return "1 day"
	default:
		return d.Round(time.Second).String()
	}
}
