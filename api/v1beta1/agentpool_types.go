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
	MaxSurge                  string `json:"maxSurge,omitempty"`
	DrainTimeoutInMinutes     *int32 `json:"drainTimeoutInMinutes,omitempty"`
	NodeSoakDurationInMinutes *int32 `json:"nodeSoakDurationInMinutes,omitempty"`
}

// AgentPoolStatus is written by the agent pool controller alone.
type AgentPoolStatus struct {
	ObservedGeneration         int64             `json:"observedGeneration,omitempty"`
	ProvisioningState          ProvisioningState `json:"provisioningState,omitempty"`
	PowerState                 PowerState        `json:"powerState,omitempty"`
	CurrentOrchestratorVersion string            `json:"currentOrchestratorVersion,omitempty"`
	NodeImageVersion           string            `json:"nodeImageVersion,omitempty"`
	// Count of machines that exist and ReadyCount of those whose node is Ready.
	Count      int32 `json:"count,omitempty"`
	ReadyCount int32 `json:"readyCount,omitempty"`
	// NextOrdinal is the number of the next machine, so that names are not reused.
	NextOrdinal int32           `json:"nextOrdinal,omitempty"`
	Error       *OperationError `json:"error,omitempty"`

	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// AgentPoolList is a list of pools.
// +kubebuilder:object:root=true
type AgentPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AgentPool `json:"items"`
}
