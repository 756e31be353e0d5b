package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SupportTicket is a request for support (ARM: Microsoft.Support/supportTickets), with
// all that was said on it. Its object name is ObjectName(spec.name). It has no status
// of its own: a ticket, its triage and the words that tell of it are one write.
//
// +kubebuilder:object:root=true
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.spec.status`
// +kubebuilder:printcolumn:name="Problem",type=string,JSONPath=`.spec.problem`
// +kubebuilder:printcolumn:name="Answer",type=string,JSONPath=`.triage.answer`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SupportTicket struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SupportTicketSpec `json:"spec"`
	// Triage is what was last decided on it.
	Triage *SupportTriage `json:"triage,omitempty"`
	// Communications are what was said, the oldest first.
	// +listType=atomic
	Communications []SupportCommunication `json:"communications,omitempty"`
}

// SupportTicketSpec is what the customer asks.
type SupportTicketSpec struct {
	// Name is the ARM one, in the customer's casing; TicketID is Berth's own.
	Name     string `json:"name"`
	TicketID string `json:"ticketId"`
	// Problem is the name of a problem classification.
	Problem     string          `json:"problem"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Severity    SupportSeverity `json:"severity"`
	// Status is open or closed.
	Status  SupportTicketStatus `json:"status"`
	Contact SupportContact      `json:"contact"`
	// ResourceID is the ARM id of what the ticket is about; empty for nothing.
	ResourceID string `json:"resourceId,omitempty"`
	// AdvancedDiagnosticConsent says that support may look into the resource (B2, C7).
	AdvancedDiagnosticConsent bool `json:"advancedDiagnosticConsent,omitempty"`
	// Consent says to what and until when; nil with AdvancedDiagnosticConsent is to
	// diagnose, as long as the ticket is open.
	Consent *SupportConsent `json:"consent,omitempty"`
	// Consented is when the consent that there is began: what support was given before
	// that, it has no more.
	Consented *metav1.Time `json:"consented,omitempty"`
	// Require24X7Response asks for an answer around the clock.
	Require24X7Response bool         `json:"require24X7Response,omitempty"`
	ProblemStartTime    *metav1.Time `json:"problemStartTime,omitempty"`
	// Created and Modified are by the service's clock.
	Created  metav1.Time `json:"created"`
	Modified metav1.Time `json:"modified"`
}

// SupportTicketStatus says whether a ticket is worked on.
type SupportTicketStatus string

// The statuses of tickets.
const (
	TicketOpen   SupportTicketStatus = "open"
	TicketClosed SupportTicketStatus = "closed"
)

// SupportSeverity is how urgent a ticket is.
type SupportSeverity string

// The severities.
const (
	SeverityMinimal  SupportSeverity = "minimal"
	SeverityModerate SupportSeverity = "moderate"
	SeverityCritical SupportSeverity = "critical"
	SeverityHighest  SupportSeverity = "highestcriticalimpact"
)

// SupportContact is who is answered. The JSON names are ARM's.
type SupportContact struct {
	FirstName                string   `json:"firstName"`
	LastName                 string   `json:"lastName"`
	PreferredContactMethod   string   `json:"preferredContactMethod"`
	PrimaryEmailAddress      string   `json:"primaryEmailAddress"`
	AdditionalEmailAddresses []string `json:"additionalEmailAddresses,omitempty"`
	PhoneNumber              string   `json:"phoneNumber,omitempty"`
	PreferredTimeZone        string   `json:"preferredTimeZone"`
	Country                  string   `json:"country"`
	PreferredSupportLanguage string   `json:"preferredSupportLanguage"`
}

// SupportCommunication is one message on a ticket.
type SupportCommunication struct {
	Name    string      `json:"name"`
	Sender  string      `json:"sender"`
	Subject string      `json:"subject"`
	Body    string      `json:"body"`
	Created metav1.Time `json:"created"`
	// FromService says that Berth wrote it, and not the customer.
	FromService bool `json:"fromService,omitempty"`
}

// SupportAnswer is what support does with a ticket (X4).
type SupportAnswer string

// The answers, the best first.
const (
	AnswerInScope       SupportAnswer = "InScope"
	AnswerBestEffort    SupportAnswer = "BestEffort"
	AnswerBusinessHours SupportAnswer = "BusinessHours" // best effort, and in business hours only (L3)
	AnswerCustomersPart SupportAnswer = "CustomersPart" // the customer acts first
	AnswerOutOfScope    SupportAnswer = "OutOfScope"
)

// SupportTriage is the answer to a ticket, with the clauses that give it.
type SupportTriage struct {
	Answer SupportAnswer `json:"answer"`
	// Time is when it was decided.
	Time metav1.Time `json:"time"`
	// Reasons say why. The first one decides; the others hold as well.
	// +listType=atomic
	Reasons []SupportReason `json:"reasons"`
	// KnownIssues are those of the cluster that the ticket may be about (M1).
	// +listType=atomic
	KnownIssues []SupportKnownIssue `json:"knownIssues,omitempty"`
}

// SupportKnownIssue is a known issue as a ticket is told of it.
type SupportKnownIssue struct {
	// Name is the KnownIssue's.
	Name  string `json:"name"`
	Title string `json:"title"`
	// Evidence is what in the cluster has it.
	Evidence string `json:"evidence"`
	// Workaround, AfterUpgrade, Timeline, FixedIn and Links are the issue's.
	Workaround   string `json:"workaround,omitempty"`
	AfterUpgrade string `json:"afterUpgrade,omitempty"`
	Timeline     string `json:"timeline,omitempty"`
	FixedIn      string `json:"fixedIn,omitempty"`
	// +listType=atomic
	Links []string `json:"links,omitempty"`
}

// SupportReason is one clause that a ticket meets.
type SupportReason struct {
	// Clause is its id in docs/support-policy.md, such as D9.
	Clause string `json:"clause"`
	// Reason is one word, for programs.
	Reason string `json:"reason"`
	// Answer is what the clause makes of the ticket by itself.
	Answer SupportAnswer `json:"answer"`
	// Evidence is what was found, in words.
	Evidence string `json:"evidence"`
	// Next is what to do.
	Next string `json:"next"`
}

// SupportTicketList is a list of tickets.
// +kubebuilder:object:root=true
type SupportTicketList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SupportTicket `json:"items"`
}
