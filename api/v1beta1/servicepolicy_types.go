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
}

// ServicePolicyList is a list of service policies.
// +kubebuilder:object:root=true
type ServicePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServicePolicy `json:"items"`
}
