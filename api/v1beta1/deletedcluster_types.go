package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DeletedCluster is what is left of a deleted cluster for as long as it can be
// recovered (X3): how it was asked for, its roots of trust (the Secret
// RetainedSecret) and its backups. Its object name is the cluster's id. Deleting it
// purges all of that, unless the cluster has come back meanwhile.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.cluster.resourceGroup`
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.cluster.name`
// +kubebuilder:printcolumn:name="Deleted",type=date,JSONPath=`.spec.deletionDate`
// +kubebuilder:printcolumn:name="Purge",type=string,JSONPath=`.spec.scheduledPurgeDate`
type DeletedCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   DeletedClusterSpec   `json:"spec"`
	Status DeletedClusterStatus `json:"status,omitempty"`
}

// DeletedClusterSpec is written when the cluster is deleted.
type DeletedClusterSpec struct {
	// Cluster is how the cluster is made again: under its id, with the version that ran.
	Cluster ManagedClusterSpec `json:"cluster"`
	// AgentPools are those that it had.
	AgentPools []AgentPoolSpec `json:"agentPools,omitempty"`
	// Maintenance are its maintenance configurations.
	Maintenance []MaintenanceConfigurationSpec `json:"maintenance,omitempty"`
	// BackupStores are the URLs, without anything secret, of the stores that had a full
	// backup of it: what has none of them any more is not what it was.
	BackupStores []string `json:"backupStores,omitempty"`
	// RecoveryRevision is the furthest that its etcd was known to be stored: who puts its
	// data back waits for a store that is away and reaches it.
	RecoveryRevision int64 `json:"recoveryRevision,omitempty"`
	// DeletionDate is when the deletion began. What was written after that is not kept.
	DeletionDate metav1.Time `json:"deletionDate"`
	// ScheduledPurgeDate is from when on nothing is kept any more.
	ScheduledPurgeDate metav1.Time `json:"scheduledPurgeDate"`
}

// DeletedClusterStatus counts the time that a deleted cluster is kept, and says why a
// purge does not come to its end.
type DeletedClusterStatus struct {
	// Elapsed is the time that was seen to pass since the deletion, and Observed when it
	// was last counted (docs/decisions/0008-clocks.md).
	Elapsed  metav1.Duration `json:"elapsed,omitempty"`
	Observed *metav1.Time    `json:"observed,omitempty"`
	// BackupsRemoved says that a purge has removed the backups from every store.
	BackupsRemoved bool `json:"backupsRemoved,omitempty"`
	// Message is why, for people; empty while there is nothing to say.
	Message string `json:"message,omitempty"`
}

// DeletedClusterList is a list of deleted clusters.
// +kubebuilder:object:root=true
type DeletedClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DeletedCluster `json:"items"`
}
