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
}

// ServicePolicyList is a list of service policies.
// +kubebuilder:object:root=true
type ServicePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServicePolicy `json:"items"`
}
