package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ActivityCode says how an act went (ARM: the status of an event of the activity log).
// +kubebuilder:validation:Enum=Accepted;Succeeded;Failed;Canceled
type ActivityCode string

// The codes of a result.
const (
	ActivityAccepted  ActivityCode = "Accepted"
	ActivitySucceeded ActivityCode = "Succeeded"
	ActivityFailed    ActivityCode = "Failed"
	ActivityCanceled  ActivityCode = "Canceled"
)

// ActivityLogEntry is one act on what a subscription has: who did what, when, and how it
// went (ARM: Microsoft.Insights/eventtypes). It is in the subscription's namespace, is
// written before the act is done, and holds nothing of a request's body. The controller
// activity removes the oldest, by the limits in ServicePolicy.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=activitylogentries,shortName=act
// +kubebuilder:printcolumn:name="Time",type=string,JSONPath=`.spec.time`
// +kubebuilder:printcolumn:name="Caller",type=string,JSONPath=`.spec.caller`
// +kubebuilder:printcolumn:name="Operation",type=string,JSONPath=`.spec.operation`
// +kubebuilder:printcolumn:name="Resource",type=string,JSONPath=`.spec.resourceId`
type ActivityLogEntry struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ActivitySpec   `json:"spec"`
	Status ActivityStatus `json:"status,omitempty"`
}

// ActivitySpec is written once, before the act.
type ActivitySpec struct {
	Time metav1.MicroTime `json:"time"`
	// Operation is Azure's name of the act, such as
	// Microsoft.ContainerService/managedClusters/write.
	Operation string `json:"operation"`
	// ResourceID is the ARM id of what the act is on.
	ResourceID string `json:"resourceId"`
	// Caller is who: the client id of an application, the principal name of a user, or a
	// part of Berth such as berth/support.
	Caller string `json:"caller"`
	// CorrelationID ties together what came of one action of the caller, a GUID.
	CorrelationID string `json:"correlationId,omitempty"`
	// Request is nil for what Berth did by itself.
	Request *ActivityRequest `json:"request,omitempty"`
	// Notice is what Berth tells of its own acts; nil for a request or an Operation.
	Notice *ActivityNotice `json:"notice,omitempty"`
}

// ActivityRequest is what is known of a request to ARM.
type ActivityRequest struct {
	Method string `json:"method"`
	// ClientRequestID is the client's own name of the call.
	ClientRequestID string `json:"clientRequestId,omitempty"`
	// ClientAddress is where the request came from, as far as a proxy leaves that to be seen.
	ClientAddress string `json:"clientAddress,omitempty"`
	// TenantID, ClientID and ObjectID are of the caller's token.
	TenantID string `json:"tenantId,omitempty"`
	ClientID string `json:"clientId,omitempty"`
	ObjectID string `json:"objectId,omitempty"`
}

// ActivityNotice is an event that Berth tells of.
type ActivityNotice struct {
	// Reason is one word, for programs, such as SupportNotice.
	Reason string `json:"reason"`
	// Message is for people.
	Message string `json:"message"`
	// Warning says that it is something to look after.
	Warning bool `json:"warning,omitempty"`
	// Data is what programs read besides the reason, such as kubernetesVersion.
	Data map[string]string `json:"data,omitempty"`
}

// ActivityStatus is how a request or an Operation went. While both are nil it has begun,
// or the process that did it has ended and nobody knows.
type ActivityStatus struct {
	// Answer is what ARM answered a request.
	Answer *ActivityResult `json:"answer,omitempty"`
	// End is how the Operation ended that the request began.
	End *ActivityResult `json:"end,omitempty"`
	// Published says that a delivery was made for each event subscription that wants it.
	Published bool `json:"published,omitempty"`
}

// ActivityResult is one result.
type ActivityResult struct {
	Time metav1.MicroTime `json:"time"`
	Code ActivityCode     `json:"code"`
	// HTTPStatus is that of ARM's answer.
	HTTPStatus int32 `json:"httpStatus,omitempty"`
	// Error has ARM's error code and message.
	Error *OperationError `json:"error,omitempty"`
}

// ActivityLogEntryList is a list of entries.
// +kubebuilder:object:root=true
type ActivityLogEntryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ActivityLogEntry `json:"items"`
}
