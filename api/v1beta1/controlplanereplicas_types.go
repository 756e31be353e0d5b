package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ReplicasPhase is where a control plane stands between one replica and three.
type ReplicasPhase string

// The phases between one replica and three. What is to happen in each, and which follows,
// is a table of internal/policy.
const (
	// ReplicasSingle: one member of etcd that nobody else reaches, one API server.
	ReplicasSingle ReplicasPhase = "Single"
	// ReplicasAddress: the member of etcd has an address for others, or gives it up.
	ReplicasAddress ReplicasPhase = "Address"
	// ReplicasMembers: etcd grows to three members or shrinks to one.
	ReplicasMembers ReplicasPhase = "Members"
	// ReplicasTrial: an API server that dials all members starts beside the single one.
	ReplicasTrial ReplicasPhase = "Trial"
	// ReplicasRollOut: it answers meanwhile; three replicas take the single one's place.
	ReplicasRollOut ReplicasPhase = "RollOut"
	// ReplicasThree: three members, three replicas.
	ReplicasThree ReplicasPhase = "Three"
	// ReplicasTrialBack: an API server that dials one member starts beside the three.
	ReplicasTrialBack ReplicasPhase = "TrialBack"
	// ReplicasRollBack: it answers meanwhile; one replica takes the place of three.
	ReplicasRollBack ReplicasPhase = "RollBack"
)

// ControlPlaneReplicas is how a control plane goes from one replica to three and back
// (A3: tiers Standard and Premium).
type ControlPlaneReplicas struct {
	Phase      ReplicasPhase `json:"phase"`
	PhaseSince metav1.Time   `json:"phaseSince"`
	// Members is how many pods run etcd as members with addresses of their own.
	Members int32 `json:"members,omitempty"`
	// Replacing is the member that lost its data and is made anew; nil if none is.
	Replacing *MemberReplacement `json:"replacing,omitempty"`
	// Kept is what was held by the last member that held other data than the others; nil if
	// nothing is kept.
	Kept *KeptMember `json:"kept,omitempty"`
}

// MemberReplacement is a member of etcd that is removed, and added again without data.
type MemberReplacement struct {
	Ordinal int32 `json:"ordinal"`
	// ID is the member's in etcd, in hexadecimal, and Claim the UID of the claim for its volume.
	ID    string `json:"id"`
	Claim string `json:"claim,omitempty"`
}

// KeptMember is the volume of a member of etcd that held other data than the others and was
// made anew. It outlives its claim for ServicePolicy.spec.oddMemberRetention.
type KeptMember struct {
	// Name is the member's, such as etcd-1, and ID its in etcd, in hexadecimal.
	Name string `json:"name"`
	ID   string `json:"id"`
	// Volume is the name of the PersistentVolume.
	Volume string `json:"volume"`
	// Time is since when it is kept.
	Time metav1.Time `json:"time"`
}

// At is the phase; ReplicasSingle for a control plane that never had another.
func (r *ControlPlaneReplicas) At() ReplicasPhase {
	if r == nil || r.Phase == "" {
		return ReplicasSingle
	}
	return r.Phase
}
