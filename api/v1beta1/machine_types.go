package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// MachinePhase is how far a machine has come.
type MachinePhase string

// The phases of a machine, in order.
const (
	MachinePending  MachinePhase = "Pending"  // the provider has not started it
	MachineBooting  MachinePhase = "Booting"  // it runs, its node has not joined
	MachineJoined   MachinePhase = "Joined"   // its Node exists and is not Ready
	MachineReady    MachinePhase = "Ready"    // its Node is Ready
	MachineDraining MachinePhase = "Draining" // it is cordoned and being drained
	MachineBlocked  MachinePhase = "Blocked"  // it could not be drained in time, and still carries its node
	MachineSoaking  MachinePhase = "Soaking"  // it is drained and waits before it is reimaged
	MachineReimaged MachinePhase = "Reimaged" // it is removed to be made anew from another image
	MachineDeleting MachinePhase = "Deleting" // the provider is removing it
	MachineOff      MachinePhase = "Off"      // it was stopped through the IaaS view (G1)
)

// Machine carries one node of an agent pool. Its object name is
// <agent pool's object name>.<ordinal in base 36, six digits>.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.spec.nodeName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Repair",type=string,JSONPath=`.status.repair.stage`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.address`
type Machine struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MachineSpec   `json:"spec"`
	Status MachineStatus `json:"status,omitempty"`
}

// MachineSpec is written by the agent pool controller, but for Requested. A machine whose version or
// node image is not the one that its status says runs is drained and reimaged
// under the same name.
type MachineSpec struct {
	// ClusterID is ManagedCluster.spec.id; Cluster and AgentPool are object names.
	ClusterID string `json:"clusterId"`
	Cluster   string `json:"cluster"`
	AgentPool string `json:"agentPool"`
	// NodeName is the name of the Node: aks-<pool>-<8 digits>-vmss<6 base-36 digits>.
	NodeName string `json:"nodeName"`
	VMSize   string `json:"vmSize"`
	// KubernetesVersion is the kubelet's, such as 1.36.3.
	KubernetesVersion string `json:"kubernetesVersion"`
	// NodeImageVersion names the image, BerthDebian-12containerd-YYYYMM.DD.N.
	NodeImageVersion string `json:"nodeImageVersion"`
	// UnmanagedOS has the node install the patches of its operating system itself (AKS:
	// nodeOSUpgradeChannel Unmanaged).
	UnmanagedOS  bool              `json:"unmanagedOS,omitempty"`
	MaxPods      int32             `json:"maxPods"`
	OSDiskSizeGB int32             `json:"osDiskSizeGB"`
	Labels       map[string]string `json:"labels,omitempty"`
	Taints       []string          `json:"taints,omitempty"`
	// Surge marks a machine that an upgrade added.
	Surge bool `json:"surge,omitempty"`
	// Quarantined machines could not be drained and are left cordoned, with the
	// label kubernetes.azure.com/upgrade-status=Quarantined (AKS: upgrade-options).
	Quarantined bool `json:"quarantined,omitempty"`
	// DrainTimeout and Soak are the pool's; nil means ServicePolicy's and none.
	DrainTimeout *metav1.Duration `json:"drainTimeout,omitempty"`
	Soak         *metav1.Duration `json:"soak,omitempty"`
	// ForceDrain deletes the pods that a disruption budget protects.
	ForceDrain bool `json:"forceDrain,omitempty"`
	// Reconciled names what the pool was last asked for while the machine was off: with a
	// new name the machine is started again (G2).
	Reconciled string `json:"reconciled,omitempty"`
	// Requested is the last action that was asked for through the IaaS view (G1). It is
	// written by package operation alone.
	Requested *InstanceRequest `json:"requested,omitempty"`
}

// MachineStatus is written by the machine controller alone.
type MachineStatus struct {
	Phase   MachinePhase `json:"phase,omitempty"`
	Message string       `json:"message,omitempty"`
	// Address is the node's internal IP.
	Address string `json:"address,omitempty"`
	// BootstrapTokenID is the public half of the token that the kubelet joins with.
	BootstrapTokenID string       `json:"bootstrapTokenId,omitempty"`
	ReadySince       *metav1.Time `json:"readySince,omitempty"`
	// FirstReady is when its node was Ready for the first time. One that never was is
	// not repaired (AKS: node-auto-repair).
	FirstReady *metav1.Time `json:"firstReady,omitempty"`
	// DrainStarted is when the machine was first asked to drain, and DrainEnded
	// when its last pod had left.
	DrainStarted *metav1.Time `json:"drainStarted,omitempty"`
	DrainEnded   *metav1.Time `json:"drainEnded,omitempty"`
	// DrainBlocker names the pod, and the disruption budget, that keep it from
	// being drained.
	DrainBlocker string `json:"drainBlocker,omitempty"`
	// KubernetesVersion, NodeImageVersion and UnmanagedOS are those that the machine was
	// made with.
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	NodeImageVersion  string `json:"nodeImageVersion,omitempty"`
	UnmanagedOS       bool   `json:"unmanagedOS,omitempty"`
	// Repair is what ails the node and what was done about it; nil if nothing ever did.
	Repair *MachineRepair `json:"repair,omitempty"`
	// ChangedMetadata is the last change of the system's labels and annotations on the
	// Node (B4).
	ChangedMetadata *MetadataChange `json:"changedMetadata,omitempty"`
	// Marked is what the service last put on the Node; nil while it is at it. It is kept
	// here, where nobody in the cluster can change it.
	Marked *NodeMarks `json:"marked,omitempty"`
	// Instance is how far the last action has come that was asked for through the IaaS
	// view (G1).
	Instance *InstanceProgress `json:"instance,omitempty"`
	// Off says that the machine was stopped through the IaaS view (B3), and Reconciled is
	// the spec's that the machine was last started for.
	Off        *InstanceOff `json:"off,omitempty"`
	Reconciled string       `json:"reconciled,omitempty"`
	// ChangedFiles are files of its image that were changed through the IaaS view (G2).
	ChangedFiles *ChangedFiles `json:"changedFiles,omitempty"`
}

// MetadataChange is a change of metadata that the system made (B4).
type MetadataChange struct {
	Time metav1.Time `json:"time"`
	// Labels and Annotations are the keys that were changed or removed, in order.
	Labels      []string `json:"labels,omitempty"`
	Annotations []string `json:"annotations,omitempty"`
	// Manager is the field manager that owns a changed label, or that changed the Node
	// last where labels were removed; empty if it is not known.
	Manager string `json:"manager,omitempty"`
	// Pending says that it is not put back yet. Until then the first to change something
	// stays named.
	Pending bool `json:"pending,omitempty"`
}

// NodeMarks are what the service put on a Node.
type NodeMarks struct {
	// Node is the UID of the Node.
	Node types.UID `json:"node"`
	// System is the sum of the system's labels with their values.
	System string `json:"system"`
	// Record is the content of the Node's annotation berth.dev/node-marks.
	Record string `json:"record"`
	// Data tells what etcd holds from what it held before it was put back from a backup
	// or a snapshot.
	Data string `json:"data,omitempty"`
}

// MachineList is a list of machines.
// +kubebuilder:object:root=true
type MachineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Machine `json:"items"`
}
