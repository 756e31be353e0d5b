package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Snapshot is what an agent pool was made of at one moment, kept so that other
// pools can be made of the same (AKS: node-pool-snapshot). It holds no data of
// nodes. Its object name is ObjectName(spec.resourceGroup, spec.name).
//
// +kubebuilder:object:root=true
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.kubernetesVersion`
// +kubebuilder:printcolumn:name="Node image",type=string,JSONPath=`.spec.nodeImageVersion`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Snapshot struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SnapshotSpec `json:"spec"`
}

// SnapshotSpec is written once, when the snapshot is taken; only tags change.
type SnapshotSpec struct {
	// ResourceGroup, Name and Location are the ARM ones, in the customer's casing.
	ResourceGroup string            `json:"resourceGroup"`
	Name          string            `json:"name"`
	Location      string            `json:"location"`
	Tags          map[string]string `json:"tags,omitempty"`
	// CreationData names the pool that it was taken of.
	CreationData CreationData `json:"creationData"`
	// KubernetesVersion and NodeImageVersion are exact.
	KubernetesVersion string `json:"kubernetesVersion"`
	NodeImageVersion  string `json:"nodeImageVersion"`
	OSType            string `json:"osType,omitempty"`
	OSSKU             string `json:"osSku,omitempty"`
	VMSize            string `json:"vmSize,omitempty"`
}

// CreationData says what something was made of.
type CreationData struct {
	// SourceResourceID is the ARM id of an agent pool, for a snapshot, or of a
	// snapshot, for an agent pool.
	SourceResourceID string `json:"sourceResourceId,omitempty"`
}

// SnapshotList is a list of snapshots.
// +kubebuilder:object:root=true
type SnapshotList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Snapshot `json:"items"`
}
