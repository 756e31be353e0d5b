package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RolloutState is how far a ComponentRollout has come.
type RolloutState string

const (
	// RolloutProgressing: wave after wave of clusters takes the images.
	RolloutProgressing RolloutState = "Progressing"
	// RolloutStopped: no more clusters are reached until it is resumed.
	RolloutStopped RolloutState = "Stopped"
	// RolloutCompleted: all clusters that run have the images, and others take them when
	// they start.
	RolloutCompleted RolloutState = "Completed"
	// RolloutSuperseded: a newer one took its place.
	RolloutSuperseded RolloutState = "Superseded"
)

// ComponentRollout brings one set of images of the managed components to all clusters, in
// waves that stop on failure (H1). The rollout controller makes one whenever the release
// catalogue has other images than the last one.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Wave",type=integer,JSONPath=`.status.wave`
// +kubebuilder:printcolumn:name="Reached",type=integer,JSONPath=`.status.clusters.reached`
// +kubebuilder:printcolumn:name="Waiting",type=integer,JSONPath=`.status.clusters.waiting`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.clusters.failed`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
type ComponentRollout struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ComponentRolloutSpec   `json:"spec"`
	Status ComponentRolloutStatus `json:"status,omitempty"`
}

// ComponentRolloutSpec is what is asked for. Number and images are written once, by the
// rollout controller; the rest is ARM's and the operator's.
//
// +kubebuilder:validation:XValidation:rule="self.number == oldSelf.number && self.images == oldSelf.images",message="number and images never change"
type ComponentRolloutSpec struct {
	// Number counts rollouts: the highest one is at work.
	// +kubebuilder:validation:Minimum=1
	Number int32 `json:"number"`
	// Images are those it brings, by their names in the release catalogue.
	Images map[string]string `json:"images"`
	// Stopped holds it: the clusters that were reached keep the images, and no others get
	// them.
	Stopped bool `json:"stopped,omitempty"`
	// Attempt is raised to have a rollout that stopped on a failure go on.
	// +kubebuilder:validation:Minimum=0
	Attempt int32 `json:"attempt,omitempty"`
	// Expedited has it wait for no maintenance windows.
	Expedited bool `json:"expedited,omitempty"`
	// WindowsSince is from when on is counted how long windows are waited for, where the
	// rollout took the place of one that was not completed; by default from its making.
	WindowsSince *metav1.Time `json:"windowsSince,omitempty"`
	// RequestedBy is who last stopped, resumed or expedited it.
	// +kubebuilder:validation:MaxLength=128
	RequestedBy string `json:"requestedBy,omitempty"`
}

// ComponentRolloutStatus is written by the rollout controller alone.
type ComponentRolloutStatus struct {
	State RolloutState `json:"state,omitempty"`
	// Reason says in one word, and Message in a sentence, what it waits for or why it stopped.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Wave is the one at work, from 1; 0 before the first. Limit is how many clusters the
	// waves up to it reach together.
	Wave  int32 `json:"wave,omitempty"`
	Limit int32 `json:"limit,omitempty"`
	// WaveStarted is when it began, and WaveReady since when all its clusters are ready.
	WaveStarted *metav1.Time `json:"waveStarted,omitempty"`
	WaveReady   *metav1.Time `json:"waveReady,omitempty"`
	// Attempt is spec.attempt as far as it was heard.
	Attempt int32 `json:"attempt,omitempty"`
	// Clusters counts them.
	Clusters RolloutCounts `json:"clusters,omitempty"`
	// Ended is when it was completed or superseded.
	Ended *metav1.Time `json:"ended,omitempty"`
}

// RolloutCounts counts the clusters of the service from a rollout's point of view.
type RolloutCounts struct {
	// Reached have its images, Ready of them were judged and found ready, and Failed took
	// them and were not.
	Reached int32 `json:"reached"`
	Ready   int32 `json:"ready"`
	Failed  int32 `json:"failed"`
	// Waiting run and have not been reached, and Away do not run.
	Waiting int32 `json:"waiting"`
	Away    int32 `json:"away"`
}

// ClusterRolloutPhase is how a cluster took the images of a rollout.
type ClusterRolloutPhase string

const (
	// ClusterTaking: it may have them, and its components are not ready, since Since.
	ClusterTaking ClusterRolloutPhase = "Taking"
	// ClusterTaken: its components are ready with them.
	ClusterTaken ClusterRolloutPhase = "Taken"
	// ClusterGiven: it has them and tells nothing about them: it is new, or was ill or
	// stopped before.
	ClusterGiven ClusterRolloutPhase = "Given"
	// ClusterReturned: its wave failed, and it went back to its former images.
	ClusterReturned ClusterRolloutPhase = "Returned"
	// ClusterHeld: its wave failed, and its former images are not to be had any more.
	ClusterHeld ClusterRolloutPhase = "Held"
)

// ClusterRollout is which images of the managed components a cluster may have, and from
// which rollout.
type ClusterRollout struct {
	// Name is the ComponentRollout's.
	Name string `json:"name"`
	// Wave is the one that the cluster was reached in; 0 outside of waves.
	Wave  int32               `json:"wave,omitempty"`
	Phase ClusterRolloutPhase `json:"phase"`
	// Since is when the phase began.
	Since metav1.Time `json:"since"`
	// Attempt is the rollout's in which it was reached.
	Attempt int32 `json:"attempt,omitempty"`
	// Images are what the add-on controller applies, and Former what the cluster had before,
	// by their names in the release catalogue.
	Images map[string]string `json:"images,omitempty"`
	Former map[string]string `json:"former,omitempty"`
	// Message says why the cluster went back, or could not.
	Message string `json:"message,omitempty"`
}

// ComponentRolloutList is a list of rollouts.
// +kubebuilder:object:root=true
type ComponentRolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ComponentRollout `json:"items"`
}

// RolloutPolicy says how patched components reach the clusters (H1). A nil field means its
// default.
type RolloutPolicy struct {
	// Waves are the sizes of the waves, one after another; what is left after them is the
	// last one. Default: one cluster, then 10, 50 and 100 per cent, with 1h, 6h, 24h and 1h
	// of bake.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	Waves []RolloutWave `json:"waves,omitempty"`
	// ReadyWithin is how long the components of a cluster may be not ready after it was
	// reached before the rollout stops: 10m.
	ReadyWithin *metav1.Duration `json:"readyWithin,omitempty"`
	// MaxFailed is how many clusters may fail, each of which goes back, before the rollout
	// stops: 0. It is how to get past a cluster that is ill for reasons of its own.
	// +kubebuilder:validation:Minimum=0
	MaxFailed *int32 `json:"maxFailed,omitempty"`
	// WaitForWindows is how long, from its making, a rollout waits for the windows of the
	// clusters' maintenance configurations named default: 336h, which are 14 days.
	WaitForWindows *metav1.Duration `json:"waitForWindows,omitempty"`
}

// RolloutWave is the size of one wave.
//
// +kubebuilder:validation:XValidation:rule="has(self.clusters) != has(self.percent)",message="give clusters or percent"
type RolloutWave struct {
	// Clusters, or Percent of the clusters that run, is how many have been reached when the
	// wave is done, those of earlier waves included. Every wave has one at least.
	// +kubebuilder:validation:Minimum=1
	Clusters *int32 `json:"clusters,omitempty"`
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
	// Bake is how long all that were reached must have been ready before the next wave: 1h.
	Bake *metav1.Duration `json:"bake,omitempty"`
}
