// Package support decides whether a cluster is within the support policy, and what
// becomes of one that is not (X1, J1-J7). It is one table of clauses, read by pure
// functions on evidence that controller/support collects.
package support

import (
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// Evidence is all that is known of a cluster. What a customer may do (workloads,
// DaemonSets, labels and taints of their own, tags) is not even a part of it (B4, G5).
type Evidence struct {
	// Versions are those of the control plane and of the pools that run.
	Versions []Version
	// Images are the node images of the pools that run.
	Images []Image
	// Stopped says that the cluster is stopped, and StoppedSince since when; zero if that
	// is not known.
	Stopped      bool
	StoppedSince time.Time
	// Archivable says that the control plane is at rest and has backups that could take the
	// place of its volume (J5).
	Archivable bool
	// ArchivedSince is when the control plane was archived; zero if it is not (J5).
	ArchivedSince time.Time
	// NoNodes says that the cluster runs, nothing is being changed, and none of its
	// machines does; Machines is how many there should be.
	NoNodes  bool
	Machines int
	// NodesUnknown says that none of its machines runs while something is being changed,
	// which tells nothing: a clock for NoNodes stands still.
	NodesUnknown bool
	// Changes are changes of metadata that the system made, put back since.
	Changes []Change
	// Off are machines that were stopped through the IaaS view, AllOff says that the cluster
	// has no others, and Removed are machines that were deleted there.
	Off     []Instance
	AllOff  bool
	Removed []Instance
	// Files were changed on nodes through the IaaS view.
	Files []Files
	// Tags are those of the system's that are not as it made them.
	Tags []Tags
	// Webhooks are the customer's that can hold the system up, and WebhooksUnknown says that
	// they could not be read.
	Webhooks        []Webhook
	WebhooksUnknown bool
	// Subscription is the state of the cluster's subscription; empty means Enabled.
	Subscription v1beta1.SubscriptionState
}

// Version is what a part of a cluster runs.
type Version struct {
	// Part is "the control plane" or "node pool x".
	Part, Version string
	State         release.State
}

// Image is a pool's node image.
type Image struct {
	Pool, Version string
	Built         time.Time
}

// Change is one of the labels of a node that the system made.
type Change struct {
	Node string
	v1beta1.MetadataChange
}
