package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ServicePolicyName is the name of the only ServicePolicy.
const ServicePolicyName = "default"

// ServicePolicy holds the durations and limits that the service promises, with
// AKS's figures as defaults. There is one, named "default".
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
type ServicePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ServicePolicySpec `json:"spec,omitempty"`
}

// ServicePolicySpec is written by the operator of Berth. A nil field means the
// default that its comment gives.
type ServicePolicySpec struct {
	// Locations that clusters can be created in; the first is the default.
	Locations []string `json:"locations,omitempty"`
	// DrainTimeout is how long a node's pods may take to leave: 30m.
	DrainTimeout *metav1.Duration `json:"drainTimeout,omitempty"`
	// OperationRetention is how long an ended operation can be read: 24h.
	OperationRetention *metav1.Duration `json:"operationRetention,omitempty"`
	// CreateTimeout is how long a create may take before it fails: 30m.
	CreateTimeout *metav1.Duration `json:"createTimeout,omitempty"`
	// UpgradeTimeout is how long a control plane may take to come up with another
	// version before the old one is put back: 10m.
	UpgradeTimeout *metav1.Duration `json:"upgradeTimeout,omitempty"`
	// RollbackWindow is how long a pool can be rolled back to the version that it
	// had: 7 days (AKS: roll-back-node-pool-version).
	RollbackWindow *metav1.Duration `json:"rollbackWindow,omitempty"`
	// DeprecatedAPIWindow is how far back the use of a deprecated API blocks an
	// upgrade: 12h (AKS: stop-cluster-upgrade-api-breaking-changes).
	DeprecatedAPIWindow *metav1.Duration `json:"deprecatedApiWindow,omitempty"`
	// AutoUpgradeInterval is how often channels are looked at: 1h.
	AutoUpgradeInterval *metav1.Duration `json:"autoUpgradeInterval,omitempty"`
	// BackupStores are the object stores that backups go to, all of them to each, as
	// URLs: file:///directory, s3://bucket, azblob://container. The default is the
	// directory that Berth was installed with. Their credentials are in the Secret
	// berth-backup-credentials, as environment variables; none belongs in a URL.
	BackupStores []string `json:"backupStores,omitempty"`
	// BackupInterval is the time from one full backup of a cluster to the next: 30m (C3).
	BackupInterval *metav1.Duration `json:"backupInterval,omitempty"`
	// BackupDeltaInterval is how often what was written since is stored: 30s, so that
	// not more than 60 s are lost though one write may fail (X2).
	BackupDeltaInterval *metav1.Duration `json:"backupDeltaInterval,omitempty"`
	// BackupProofInterval is how often the newest backups of a cluster are restored
	// into a scratch etcd and compared with what it holds: 24h (X2).
	BackupProofInterval *metav1.Duration `json:"backupProofInterval,omitempty"`
	// ArchiveAfter is for how long a cluster is stopped before its control plane is
	// archived: its volume goes when its backups are proven, and comes back from them at
	// the next start: 720h, which are 30 days; 0s is never (J5).
	ArchiveAfter *metav1.Duration `json:"archiveAfter,omitempty"`
	// ArchivesAtOnce is how many control planes are archived at the same time, each with an
	// etcd, a backup and a proof of its own: 4; with 0 none begins. The one that was stopped
	// first goes first.
	// +kubebuilder:validation:Minimum=0
	ArchivesAtOnce *int32 `json:"archivesAtOnce,omitempty"`
	// DeletedClusterRetention is how long a deleted cluster can be recovered: 336h, which
	// are 14 days; 0s keeps nothing (X3).
	DeletedClusterRetention *metav1.Duration `json:"deletedClusterRetention,omitempty"`
	// BackupRetention says for how long what is kept.
	BackupRetention *BackupRetention `json:"backupRetention,omitempty"`
	// OddMemberRetention is how long the volume of a member of etcd is kept that was made anew
	// since it held other data than the two others: 168h, which are 7 days; 0s keeps nothing.
	// One is kept of each cluster, the last (A3).
	OddMemberRetention *metav1.Duration `json:"oddMemberRetention,omitempty"`
	// NodeRepair says when nodes that are ill are repaired, and how (E4).
	NodeRepair *NodeRepair `json:"nodeRepair,omitempty"`
	// AddonPutBack says how soon changes of managed components are put back (A7).
	AddonPutBack *AddonPutBack `json:"addonPutBack,omitempty"`
	// ComponentRollout says how patched components reach the clusters (H1).
	ComponentRollout *RolloutPolicy `json:"componentRollout,omitempty"`
	// Support has the figures of the support policy's clocks.
	Support *SupportPolicy `json:"support,omitempty"`
	// ActivityLog says how much of what happened is kept.
	ActivityLog *ActivityLogPolicy `json:"activityLog,omitempty"`
	// Webhooks says where events may be sent.
	Webhooks *WebhookPolicy `json:"webhooks,omitempty"`
	// Quotas are what each subscription can have, unless it has quotas of its own.
	Quotas *Quotas `json:"quotas,omitempty"`
	// SupportAccess has the figures of just-in-time access.
	SupportAccess *SupportAccessPolicy `json:"supportAccess,omitempty"`
}

// WebhookPolicy says where the events of event subscriptions may be sent.
type WebhookPolicy struct {
	// AllowedRanges are CIDRs that may be reached although they are among what is never
	// reached otherwise: loopback, link-local addresses and Berth's own networks.
	AllowedRanges []string `json:"allowedRanges,omitempty"`
	// CABundle are authorities in PEM that endpoints' certificates may be of, besides
	// those of the system.
	CABundle string `json:"caBundle,omitempty"`
}

// Quotas are the limits of a subscription. A nil field means its default.
type Quotas struct {
	// Clusters is how many clusters there can be: 5000.
	// +kubebuilder:validation:Minimum=0
	Clusters *int32 `json:"clusters,omitempty"`
	// NodesPerCluster is how many nodes one cluster can have: 5000, and 1000 in the tier
	// Free.
	// +kubebuilder:validation:Minimum=0
	NodesPerCluster *int32 `json:"nodesPerCluster,omitempty"`
	// Cores is how many vCPUs the nodes of all clusters can have together, stopped ones
	// too; there is no limit by default.
	// +kubebuilder:validation:Minimum=0
	Cores *int32 `json:"cores,omitempty"`
}

// ActivityLogPolicy are the limits of the activity log. A nil field means its default.
type ActivityLogPolicy struct {
	// Retention is how long an entry is kept: 2160h, which are 90 days (Azure's figure).
	Retention *metav1.Duration `json:"retention,omitempty"`
	// Entries is how many a subscription has at most of each kind: of what was done, of
	// what was refused, and of what Berth did by itself: 2000. No kind takes another's room.
	// +kubebuilder:validation:Minimum=1
	Entries *int32 `json:"entries,omitempty"`
}

// SupportAccessPolicy are the figures of support's access to clusters. A nil field means
// its default.
type SupportAccessPolicy struct {
	// MaxDuration is how long one access lasts at most: 8h (C7).
	MaxDuration *metav1.Duration `json:"maxDuration,omitempty"`
	// Retention is how long an access that has ended is kept, with the record of what was
	// done: 2160h, which are 90 days as those of Azure's activity log (X5).
	Retention *metav1.Duration `json:"retention,omitempty"`
	// MaxRequests is how many requests are recorded of one access at each of Berth's
	// processes; what would come after them is refused: 5000 (X5).
	MaxRequests *int32 `json:"maxRequests,omitempty"`
}

// AddonPutBack are the times of putting back what customers change in managed
// components. A nil field means its default.
type AddonPutBack struct {
	// Check is how often every component is looked at, beside the watches: 10m.
	Check *metav1.Duration `json:"check,omitempty"`
	// Delay is what a component waits that is changed again and again. It doubles each
	// time, from the fourth on: 5s. Until then it is put back at once.
	Delay *metav1.Duration `json:"delay,omitempty"`
	// MaxDelay is the most that it waits: 5m.
	MaxDelay *metav1.Duration `json:"maxDelay,omitempty"`
	// Calm is how long a component must be left alone to be put back at once again: 10m.
	Calm *metav1.Duration `json:"calm,omitempty"`
}

// SupportPolicy are the support policy's times. A nil field means its default.
type SupportPolicy struct {
	// Interval is how often a cluster is looked at: 10m. A clock advances by twice as
	// much at one look at most (docs/decisions/0008-clocks.md).
	Interval *metav1.Duration `json:"interval,omitempty"`
	// Settle is how long nodes must be away before it counts: 10m.
	Settle *metav1.Duration `json:"settle,omitempty"`
	// NoNodesStop is how long a cluster without any node runs on: 720h (J3, J4).
	NoNodesStop *metav1.Duration `json:"noNodesStop,omitempty"`
	// StoppedDelete is how long a stopped cluster is kept: 8760h (J1, J2).
	StoppedDelete *metav1.Duration `json:"stoppedDelete,omitempty"`
	// SuspendedDelete is how long a cluster of a suspended subscription is kept: 2160h (J6).
	SuspendedDelete *metav1.Duration `json:"suspendedDelete,omitempty"`
	// Notices are given so long before a clock ends: 336h, 168h and 24h. No act comes
	// sooner after the last notice than it says.
	Notices []metav1.Duration `json:"notices,omitempty"`
	// NodeImageAge is how old a supported node image may be: 2160h.
	NodeImageAge *metav1.Duration `json:"nodeImageAge,omitempty"`
	// ChangedMetadata is how long a change of the system's metadata, put back meanwhile,
	// counts: 24h (B4).
	ChangedMetadata *metav1.Duration `json:"changedMetadata,omitempty"`
	// VulnerabilityFixAge is how old a vendor's fix is when the service owes it: 720h,
	// which are 30 days (D12).
	VulnerabilityFixAge *metav1.Duration `json:"vulnerabilityFixAge,omitempty"`
}

// BackupRetention are the tiers of retention. A nil field means its default.
type BackupRetention struct {
	// All is how long every full backup is kept, and what was written between: 6h.
	All *metav1.Duration `json:"all,omitempty"`
	// Daily is how long the first of each day is kept: 168h.
	Daily *metav1.Duration `json:"daily,omitempty"`
	// Weekly is how long the first of each week is kept: 672h.
	Weekly *metav1.Duration `json:"weekly,omitempty"`
}

// ServicePolicyList is a list of service policies.
// +kubebuilder:object:root=true
type ServicePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServicePolicy `json:"items"`
}
