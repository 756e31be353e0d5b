package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

const (
	// ManagementClusterName is the name of the only ManagementCluster.
	ManagementClusterName = "management"
	// ManagementBackupSecret in SystemNamespace says how the etcd of an embedded
	// management cluster is reached and for whom its backups are sealed. There is none
	// on a management cluster that somebody else runs.
	ManagementBackupSecret = "berth-management-backup"
)

// The entries of ManagementBackupSecret besides ca.crt, tls.crt and tls.key.
const (
	ManagementEndpointKey  = "endpoint"
	ManagementPublicKeyKey = "public-key"
	// ManagementBundleKey is the sealed bundle of the machine's own files, and
	// ManagementDigestKey changes with what it holds.
	ManagementBundleKey = "bundle"
	ManagementDigestKey = "bundle-digest"
)

// ManagementCluster is what Berth knows of the cluster that it runs in. There is one,
// named "management", where that cluster is Berth's own.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Backed Up",type=string,JSONPath=`.status.conditions[?(@.type=="BackedUp")].status`
// +kubebuilder:printcolumn:name="Recovery Point",type=date,JSONPath=`.status.backup.recoveryPoint`
type ManagementCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Status ManagementClusterStatus `json:"status,omitempty"`
}

// ManagementClusterStatus is written by controller/backup.
type ManagementClusterStatus struct {
	// Backup is that of Berth's own state (C3, X3).
	Backup *BackupStatus `json:"backup,omitempty"`
	// Conditions has BackedUp.
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ManagementClusterList is a list of management clusters.
// +kubebuilder:object:root=true
type ManagementClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ManagementCluster `json:"items"`
}
