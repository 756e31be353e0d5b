package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// LabelSupportAccess carries the name of the SupportAccess that a page of its record is of.
const LabelSupportAccess = "berth.dev/support-access"

// SupportScope is something that a customer consents to (B2, C7).
// +kubebuilder:validation:Enum=Diagnose;ContainerLogs;NodeLogs;Exec
type SupportScope string

// The scopes. What each lets support do is a table of internal/policy/access.
const (
	// ScopeDiagnose is to read objects, never Secrets, and the logs of managed components.
	ScopeDiagnose SupportScope = "Diagnose"
	// ScopeContainerLogs is to read the logs of the customer's containers too.
	ScopeContainerLogs SupportScope = "ContainerLogs"
	// ScopeNodeLogs is to read the logs of nodes (B2).
	ScopeNodeLogs SupportScope = "NodeLogs"
	// ScopeExec is to run commands in containers and to reach their ports (B2).
	ScopeExec SupportScope = "Exec"
)

// SupportConsent says more of a ticket's consent than yes: to what, and until when.
type SupportConsent struct {
	// +listType=atomic
	Scopes []SupportScope `json:"scopes"`
	// Expires is when the consent ends; without it, it lasts as long as the ticket is open.
	Expires *metav1.Time `json:"expires,omitempty"`
	// GivenBy is who gave it.
	GivenBy string `json:"givenBy"`
}

// SupportAccess is a support engineer's access to a customer's cluster, for a while and
// with the consent of an open ticket (C7). Its name is drawn. It is kept when it has
// ended, with the record of what was done, for ServicePolicy's supportAccess.retention (X5).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Ticket",type=string,JSONPath=`.spec.ticket`
// +kubebuilder:printcolumn:name="Engineer",type=string,JSONPath=`.spec.engineer`
// +kubebuilder:printcolumn:name="Expires",type=date,JSONPath=`.spec.expires`
// +kubebuilder:printcolumn:name="Ended",type=string,JSONPath=`.status.reason`
type SupportAccess struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   SupportAccessSpec   `json:"spec"`
	Status SupportAccessStatus `json:"status,omitempty"`
}

// SupportAccessSpec is what was asked for and given.
type SupportAccessSpec struct {
	// Ticket is the ARM name of the ticket, and TicketID its own id: another ticket of
	// that name gives no access.
	Ticket   string `json:"ticket"`
	TicketID string `json:"ticketId"`
	// Cluster is the object name of the ManagedCluster, and ClusterID its spec.id:
	// another cluster of that name is not meant.
	Cluster   string `json:"cluster"`
	ClusterID string `json:"clusterId"`
	// ResourceID is the cluster's ARM id as the ticket has it.
	ResourceID string `json:"resourceId"`
	// Engineer is who has the access, by the name in Berth's directory.
	Engineer string `json:"engineer"`
	// Reason is what the engineer means to do, in words.
	Reason string `json:"reason"`
	// +listType=atomic
	Scopes []SupportScope `json:"scopes"`
	// Created and Expires are by the service's clock, in seconds. Created is later than the
	// consent that the access was given with.
	Created metav1.Time `json:"created"`
	Expires metav1.Time `json:"expires"`
	// Token is the SHA-256 of the credential, in hexadecimal; empty until one was asked for.
	Token string `json:"token,omitempty"`
	// Revoked is set once, by whoever ended the access by hand.
	Revoked *SupportRevocation `json:"revoked,omitempty"`
}

// SupportRevocation tells who ended an access.
type SupportRevocation struct {
	By   string      `json:"by"`
	Time metav1.Time `json:"time"`
}

// SupportAccessStatus is what has become of an access.
type SupportAccessStatus struct {
	// Granted is when the role and its binding were there first, and Removed when they
	// were seen to be gone after the end.
	Granted *metav1.Time `json:"granted,omitempty"`
	Removed *metav1.Time `json:"removed,omitempty"`
	// Ended is when the access ended. It never begins again.
	Ended *metav1.Time `json:"ended,omitempty"`
	// Clause, Reason and Message say why it ended.
	Clause  string `json:"clause,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Elapsed is the time that was seen to pass since the access was given or, when it has
	// ended, since the end; Observed is when it was last counted (docs/decisions/0008-clocks.md).
	Elapsed  metav1.Duration `json:"elapsed,omitempty"`
	Observed *metav1.Time    `json:"observed,omitempty"`
}

// SupportAccessList is a list of accesses.
// +kubebuilder:object:root=true
type SupportAccessList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SupportAccess `json:"items"`
}

// SupportAccessRecord is one page of the record of an access (X5). It is owned by the
// SupportAccess and goes with it.
//
// +kubebuilder:object:root=true
type SupportAccessRecord struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Requests are those of the page, the oldest first.
	// +listType=atomic
	Requests []SupportRequest `json:"requests"`
}

// SupportRequest is one request of a support engineer. It is written before the request
// goes on to the cluster's API server, which has it under the same id in its audit log.
type SupportRequest struct {
	// ID is the audit id.
	ID       string           `json:"id"`
	Time     metav1.MicroTime `json:"time"`
	Engineer string           `json:"engineer"`
	Verb     string           `json:"verb"`
	// Resource is group/resource/subresource as RBAC spells them, such as pods/log or
	// deployments.apps; empty for a path that is none.
	Resource  string `json:"resource,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// URI is the path and the query as they were sent, cut to 512 bytes.
	URI       string `json:"uri"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent,omitempty"`
	// Refused says why the request went no further.
	Refused string `json:"refused,omitempty"`
	// Code is what the API server answered; zero as long as that is not known, and for
	// good if the process died meanwhile.
	Code int32 `json:"code,omitempty"`
	// Ended is when the answer, or the stream, was over.
	Ended *metav1.MicroTime `json:"ended,omitempty"`
}

// SupportAccessRecordList is a list of pages.
// +kubebuilder:object:root=true
type SupportAccessRecordList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SupportAccessRecord `json:"items"`
}
