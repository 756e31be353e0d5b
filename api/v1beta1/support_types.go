package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SupportState says whether a cluster is within the support policy (X1).
type SupportState string

// The states, the best first. A cluster has the worst that one of its findings gives.
const (
	SupportSupported    SupportState = "Supported"
	SupportBestEffort   SupportState = "BestEffort"      // a preview is used (L3)
	SupportPlatformOnly SupportState = "PlatformSupport" // it works and can be moved on, Kubernetes itself is not supported (F4)
	SupportOutOfSupport SupportState = "OutOfSupport"
	SupportArchived     SupportState = "Archived" // nothing is left of the control plane but its backups (J5)
)

// SupportAct is what the service does to a cluster when a clock has run out.
type SupportAct string

// The acts.
const (
	ActStop    SupportAct = "Stop"    // the cluster is stopped, its state is kept
	ActArchive SupportAct = "Archive" // the control plane of a stopped cluster is kept as backups alone (J5)
	ActDelete  SupportAct = "Delete"  // the cluster is deleted with all its resources
)

// SupportStatus is a cluster's supportability, with its clocks.
type SupportStatus struct {
	State SupportState `json:"state"`
	// Findings are what the policy says of the cluster now, by their clauses. They are
	// written as a whole.
	// +listType=atomic
	Findings []SupportFinding `json:"findings"`
	// Clocks are those that run. They are written as a whole.
	// +listType=atomic
	Clocks []SupportClock `json:"clocks"`
	// VersionNews are keys of what the cluster was told of Kubernetes versions.
	// +listType=atomic
	VersionNews []string `json:"versionNews,omitempty"`
	// LastAct is the last operation that the policy asked for.
	LastAct *SupportOperation `json:"lastAct,omitempty"`
}

// SupportFinding is one clause of the support policy that applies to the cluster.
type SupportFinding struct {
	// Clause is its id in docs/support-policy.md, such as J4.
	Clause string `json:"clause"`
	// Reason is one word, for programs.
	Reason string `json:"reason"`
	// Message has the evidence, for people.
	Message string      `json:"message"`
	Since   metav1.Time `json:"since"`
	// State is what the finding makes of the cluster by itself.
	State SupportState `json:"state"`
	// Act is what happens, and Ends when; without Ends at once. Empty if nothing does.
	Act  SupportAct   `json:"act,omitempty"`
	Ends *metav1.Time `json:"ends,omitempty"`
	// WayBack says what ends the finding, and with it its clock.
	WayBack string `json:"wayBack"`
}

// SupportClock is time that was seen to pass (docs/decisions/0008-clocks.md).
type SupportClock struct {
	Clause string     `json:"clause"`
	Act    SupportAct `json:"act"`
	// Since is when what it measures was first seen.
	Since metav1.Time `json:"since"`
	// Elapsed is how much of it was seen to pass until Observed.
	Elapsed  metav1.Duration `json:"elapsed"`
	Observed metav1.Time     `json:"observed"`
	// Ends is when the act comes if nothing changes.
	Ends metav1.Time `json:"ends"`
	// Notice is how long before its end the last notice was given, and NoticeElapsed
	// what had elapsed then; nil before the first.
	Notice        *metav1.Duration `json:"notice,omitempty"`
	NoticeElapsed *metav1.Duration `json:"noticeElapsed,omitempty"`
	// Due says that it has run out, and that the act is carried out until the clock is gone.
	Due bool `json:"due,omitempty"`
}

// SupportOperation is an Operation that the support policy asked for. It is written
// before the Operation is.
type SupportOperation struct {
	Clause string      `json:"clause"`
	Act    SupportAct  `json:"act"`
	Name   string      `json:"name"`
	Time   metav1.Time `json:"time"`
}
