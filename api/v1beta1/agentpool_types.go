package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AgentPool is a group of equal nodes. Its object name is
// ObjectName(spec.resourceGroup, spec.clusterName, spec.name).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ap
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Count",type=integer,JSONPath=`.spec.count`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyCount`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.currentOrchestratorVersion`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.provisioningState`
type AgentPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   AgentPoolSpec   `json:"spec"`
	Status AgentPoolStatus `json:"status,omitempty"`
}

// AgentPoolSpec is what the customer asked for.
type AgentPoolSpec struct {
	// ResourceGroup and ClusterName name the cluster, in the customer's casing.
	ResourceGroup string `json:"resourceGroup"`
	ClusterName   string `json:"clusterName"`

	AgentPoolProfile `json:",inline"`
}

// AgentPoolProfile is a pool as it stands inside a cluster's body.
type AgentPoolProfile struct {
	// Name is 1 to 12 characters, ^[a-z][a-z0-9]{0,11}$.
	Name string `json:"name"`
	// Count of nodes, 0 to 1000; a system pool has at least 1. Nil means 1.
	Count  *int32 `json:"count,omitempty"`
	VMSize string `json:"vmSize,omitempty"`
	// OSDiskSizeGB bounds what a node may store; 0 means 128.
	OSDiskSizeGB int32  `json:"osDiskSizeGB,omitempty"`
	OSDiskType   string `json:"osDiskType,omitempty"`
	// MaxPods a node takes, 10 to 250. It never changes.
	MaxPods int32  `json:"maxPods,omitempty"`
	OSType  string `json:"osType,omitempty"`
	OSSKU   string `json:"osSKU,omitempty"`
	Type    string `json:"type,omitempty"`
	// Mode is System or User.
	Mode string `json:"mode,omitempty"`
	// PowerState is what was asked for; nil means Running (AKS: start-stop-nodepools).
	PowerState *PowerState `json:"powerState,omitempty"`
	// NodeImageVersion is the node image that was asked for; empty means the one
	// that the pool has, and the newest for a new pool or with a new version.
	NodeImageVersion string `json:"nodeImageVersion,omitempty"`
	// CreationData names the Snapshot that the pool was made of. It never changes.
	CreationData *CreationData `json:"creationData,omitempty"`
	// OrchestratorVersion is what was asked for; empty means the control plane's.
	OrchestratorVersion string            `json:"orchestratorVersion,omitempty"`
	NodeLabels          map[string]string `json:"nodeLabels,omitempty"`
	// NodeTaints are written key=value:effect.
	NodeTaints      []string          `json:"nodeTaints,omitempty"`
	Tags            map[string]string `json:"tags,omitempty"`
	ScaleDownMode   string            `json:"scaleDownMode,omitempty"`
	UpgradeSettings *UpgradeSettings  `json:"upgradeSettings,omitempty"`
}

// UpgradeSettings govern how a pool's nodes are replaced.
type UpgradeSettings struct {
	// MaxSurge is a count or a percentage, rounded up.
	MaxSurge string `json:"maxSurge,omitempty"`
	// MaxUnavailable is a count or a percentage of nodes that are replaced in place,
	// without a surge: 0 by default, never with a system pool.
	MaxUnavailable string `json:"maxUnavailable,omitempty"`
	// UndrainableNodeBehavior is Schedule (the upgrade fails and the node takes pods
	// again) or Cordon (the node is quarantined and the upgrade goes on).
	UndrainableNodeBehavior string `json:"undrainableNodeBehavior,omitempty"`
	// DrainTimeoutInMinutes is 1 to 1440, by default 30.
	DrainTimeoutInMinutes *int32 `json:"drainTimeoutInMinutes,omitempty"`
	// NodeSoakDurationInMinutes is 0 to 30, by default 0.
	NodeSoakDurationInMinutes *int32 `json:"nodeSoakDurationInMinutes,omitempty"`
}

// AgentPoolStatus is written by the agent pool controller alone.
type AgentPoolStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// ObservedOperation is the AnnotationOperation that the rest describes.
	ObservedOperation          string            `json:"observedOperation,omitempty"`
	ProvisioningState          ProvisioningState `json:"provisioningState,omitempty"`
	PowerState                 PowerState        `json:"powerState,omitempty"`
	CurrentOrchestratorVersion string            `json:"currentOrchestratorVersion,omitempty"`
	NodeImageVersion           string            `json:"nodeImageVersion,omitempty"`
	// UnmanagedOS says that all nodes patch their operating system themselves.
	UnmanagedOS bool `json:"unmanagedOS,omitempty"`
	// Count of machines that exist and ReadyCount of those whose node is Ready.
	Count      int32 `json:"count,omitempty"`
	ReadyCount int32 `json:"readyCount,omitempty"`
	// NextOrdinal is the number of the next machine, so that names are not reused;
	// a pool that was stopped begins anew.
	NextOrdinal int32           `json:"nextOrdinal,omitempty"`
	Error       *OperationError `json:"error,omitempty"`
	// Removed are machines that were deleted through the IaaS view (G4). They are missing
	// until the pool is changed through the service.
	Removed []RemovedInstance `json:"removed,omitempty"`
	// Upgrade is the last replacement of the pool's nodes, running or ended.
	Upgrade *PoolUpgrade `json:"upgrade,omitempty"`
	// RecentlyUsedVersions are what a rollback can bring back, newest first.
	RecentlyUsedVersions []UsedVersion `json:"recentlyUsedVersions,omitempty"`

	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ConditionConverged is True when every machine of a pool is as its spec says. Its
// message says what an upgrade waits for that has not begun, or what keeps nodes from
// being drained.
const ConditionConverged = "Converged"

// PoolUpgrade is one replacement of a pool's nodes by ones of another version or
// node image.
type PoolUpgrade struct {
	OrchestratorVersion string `json:"orchestratorVersion"`
	NodeImageVersion    string `json:"nodeImageVersion"`
	// UnmanagedOS says that the new nodes patch their operating system themselves.
	UnmanagedOS bool `json:"unmanagedOS,omitempty"`
	// Force says that disruption budgets are overridden, decided at the start.
	Force     bool         `json:"force,omitempty"`
	StartTime metav1.Time  `json:"startTime"`
	EndTime   *metav1.Time `json:"endTime,omitempty"`
	// ProgressTime is when a node was last replaced or a step last taken, so that an
	// upgrade that stands still is seen.
	ProgressTime *metav1.Time `json:"progressTime,omitempty"`
	// Surge is how many nodes are added while it runs.
	Surge int32 `json:"surge,omitempty"`
	// Nodes counts all nodes to replace and Done those that were.
	Nodes int32 `json:"nodes,omitempty"`
	Done  int32 `json:"done,omitempty"`
	// Waiting says what the upgrade waits for, for people; empty when it is at work.
	Waiting string `json:"waiting,omitempty"`
}

// UsedVersion is a version and image that a pool had.
type UsedVersion struct {
	OrchestratorVersion string `json:"orchestratorVersion"`
	NodeImageVersion    string `json:"nodeImageVersion"`
	// Timestamp is when the pool left it.
	Timestamp metav1.Time `json:"timestamp"`
}

// AgentPoolList is a list of pools.
// +kubebuilder:object:root=true
type AgentPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AgentPool `json:"items"`
}
