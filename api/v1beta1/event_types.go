package v1beta1

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EventSubscription has what happens at a scope sent to a webhook, as CloudEvents (ARM:
// Microsoft.EventGrid/eventSubscriptions). It is in the namespace of the scope's
// subscription and is owned by the object at its scope, so that it goes with it. Its
// object name is EventSubscriptionObjectName(spec.scope, spec.name); the Secret of the
// same name has the endpoint's full URL and the keys that deliveries are signed with.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Name",type=string,JSONPath=`.spec.name`
// +kubebuilder:printcolumn:name="Scope",type=string,JSONPath=`.spec.scope`
// +kubebuilder:printcolumn:name="Delivering",type=string,JSONPath=`.status.conditions[?(@.type=="Delivering")].reason`
type EventSubscription struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   EventSubscriptionSpec   `json:"spec"`
	Status EventSubscriptionStatus `json:"status,omitempty"`
}

// EventSubscriptionSpec is what the customer asked for.
type EventSubscriptionSpec struct {
	// Name in the customer's own casing.
	Name string `json:"name"`
	// Scope is the ARM id of the subscription, resource group or managed cluster whose
	// events are sent.
	Scope string `json:"scope"`
	// EndpointBaseURL is the webhook's URL without its query, which is a secret.
	EndpointBaseURL string           `json:"endpointBaseUrl"`
	Labels          []string         `json:"labels,omitempty"`
	Filter          EventFilter      `json:"filter,omitempty"`
	RetryPolicy     EventRetryPolicy `json:"retryPolicy,omitempty"`
	// ExpirationTime is when the event subscription ends and is removed.
	ExpirationTime *metav1.Time `json:"expirationTimeUtc,omitempty"`
}

// EventFilter says which events are sent; empty are all of the scope's.
type EventFilter struct {
	IncludedEventTypes     []string `json:"includedEventTypes,omitempty"`
	SubjectBeginsWith      string   `json:"subjectBeginsWith,omitempty"`
	SubjectEndsWith        string   `json:"subjectEndsWith,omitempty"`
	IsSubjectCaseSensitive bool     `json:"isSubjectCaseSensitive,omitempty"`
}

// EventRetryPolicy says how long an event is tried. 0 means the default.
type EventRetryPolicy struct {
	// MaxDeliveryAttempts is 1 to 30, by default 30.
	MaxDeliveryAttempts int32 `json:"maxDeliveryAttempts,omitempty"`
	// EventTimeToLiveInMinutes is 1 to 1440, by default 1440.
	EventTimeToLiveInMinutes int32 `json:"eventTimeToLiveInMinutes,omitempty"`
}

// ConditionDelivering says whether the last delivery of an EventSubscription succeeded.
const ConditionDelivering = "Delivering"

// EventSubscriptionStatus is how deliveries go.
type EventSubscriptionStatus struct {
	// Failures counts the attempts that failed in a row; 0 after one that did not.
	Failures int32 `json:"failures,omitempty"`
	// PausedUntil is when the endpoint is tried next, after failures.
	PausedUntil *metav1.MicroTime `json:"pausedUntil,omitempty"`
	// Dropped counts the events that were given up.
	Dropped    int64              `json:"dropped,omitempty"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// EventSubscriptionList is a list of event subscriptions.
// +kubebuilder:object:root=true
type EventSubscriptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EventSubscription `json:"items"`
}

// EventSubscriptionObjectName is the Kubernetes name of an event subscription and of its
// Secret: ids are too long to be one.
func EventSubscriptionObjectName(scope, name string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(scope + "/" + name)))
	return "events-" + hex.EncodeToString(sum[:10])
}

// The data of an event subscription's Secret.
const (
	// EndpointURL is the webhook's full URL, with its query.
	EndpointURL = "endpointUrl"
	// SigningKey1 and SigningKey2 sign each delivery, both of them, so that one can be
	// replaced while the other is in use. They are written as Standard Webhooks has it:
	// whsec_ and the key in base64.
	SigningKey1 = "key1"
	SigningKey2 = "key2"
)

// EventDelivery is one event on its way to one EventSubscription, which owns it. It is
// there until the event was delivered or is given up.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=eventdeliveries
// +kubebuilder:printcolumn:name="Subscription",type=string,JSONPath=`.spec.eventSubscription`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Attempts",type=integer,JSONPath=`.status.attempts`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.lastOutcome`
type EventDelivery struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   EventDeliverySpec   `json:"spec"`
	Status EventDeliveryStatus `json:"status,omitempty"`
}

// EventDeliverySpec is written once.
type EventDeliverySpec struct {
	// EventSubscription is the object's name.
	EventSubscription string `json:"eventSubscription"`
	// ID and Type are those of the CloudEvent; the id is the same at every attempt.
	ID   string           `json:"id"`
	Type string           `json:"type"`
	Time metav1.MicroTime `json:"time"`
	// Body is the CloudEvent as JSON, as it is sent.
	Body string `json:"body"`
}

// EventDeliveryStatus counts attempts.
type EventDeliveryStatus struct {
	Attempts int32 `json:"attempts,omitempty"`
	// NextAttempt is when it is tried again.
	NextAttempt *metav1.MicroTime `json:"nextAttempt,omitempty"`
	// LastOutcome is why the last attempt failed.
	LastOutcome string `json:"lastOutcome,omitempty"`
}

// EventDeliveryList is a list of deliveries.
// +kubebuilder:object:root=true
type EventDeliveryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EventDelivery `json:"items"`
}
