package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SubscriptionState is the billing state of a subscription (J6, J7).
// +kubebuilder:validation:Enum=Enabled;Warned;Suspended;Deleted
type SubscriptionState string

// The states of a subscription.
const (
	SubscriptionEnabled   SubscriptionState = "Enabled"
	SubscriptionWarned    SubscriptionState = "Warned"
	SubscriptionSuspended SubscriptionState = "Suspended"
	SubscriptionDeleted   SubscriptionState = "Deleted"
)

// Subscription is a tenant's account. Its name is the subscription id, a GUID in
// lower case; its resources live in the namespace SubscriptionNamespace(name).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Display name",type=string,JSONPath=`.spec.displayName`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.state`
type Subscription struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SubscriptionSpec `json:"spec"`
}

// SubscriptionSpec is written by the operator of Berth.
type SubscriptionSpec struct {
	DisplayName string `json:"displayName"`
	// TenantID is the directory that the subscription trusts, a GUID.
	TenantID string `json:"tenantId"`
	// +kubebuilder:default=Enabled
	State SubscriptionState `json:"state,omitempty"`
	// Quotas go before those of ServicePolicy, each by itself.
	Quotas *Quotas `json:"quotas,omitempty"`
}

// SubscriptionList is a list of subscriptions.
// +kubebuilder:object:root=true
type SubscriptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Subscription `json:"items"`
}

// ResourceGroup is a container of clusters. Its object name is ObjectName(spec.name).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Location",type=string,JSONPath=`.spec.location`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.provisioningState`
type ResourceGroup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ResourceGroupSpec   `json:"spec"`
	Status ResourceGroupStatus `json:"status,omitempty"`
}

// ResourceGroupSpec is written by the customer. Name and location never change.
type ResourceGroupSpec struct {
	// Name in the customer's own casing.
	Name     string            `json:"name"`
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags,omitempty"`
	// ManagedBy is the ARM id of the cluster that owns a node resource group (G1).
	ManagedBy string `json:"managedBy,omitempty"`
}

// ResourceGroupStatus is written by the resource group controller.
type ResourceGroupStatus struct {
	ProvisioningState ProvisioningState `json:"provisioningState,omitempty"`
}

// ResourceGroupList is a list of resource groups.
// +kubebuilder:object:root=true
type ResourceGroupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ResourceGroup `json:"items"`
}
