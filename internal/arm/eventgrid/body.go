package eventgrid

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/event"
)

const (
	// schema is the only one that events are delivered in.
	schema = "CloudEventSchemaV1_0"
	// endpointType is the only one that there is.
	endpointType = "WebHook"
)

// body is an event subscription on the wire.
type body struct {
	ID         string         `json:"id" arm:"read"`
	Name       string         `json:"name" arm:"read"`
	Type       string         `json:"type" arm:"read"`
	SystemData map[string]any `json:"systemData,omitempty" arm:"read"`
	Properties properties     `json:"properties"`
}

// properties are those of an event subscription, and all of a PATCH.
type properties struct {
	Topic               string       `json:"topic" arm:"read"`
	ProvisioningState   string       `json:"provisioningState" arm:"read"`
	Destination         *destination `json:"destination,omitempty"`
	Filter              *filter      `json:"filter,omitempty"`
	Labels              []string     `json:"labels,omitempty"`
	ExpirationTimeUTC   string       `json:"expirationTimeUtc,omitempty"`
	EventDeliverySchema string       `json:"eventDeliverySchema,omitempty" arm:"enum=CloudEventSchemaV1_0"`
	RetryPolicy         *retryPolicy `json:"retryPolicy,omitempty"`
}

type destination struct {
	EndpointType string  `json:"endpointType" arm:"enum=WebHook"`
	Properties   webhook `json:"properties"`
}

// webhook is the endpoint. Its full URL is sent and never shown here.
type webhook struct {
	EndpointURL     string `json:"endpointUrl,omitempty"`
	EndpointBaseURL string `json:"endpointBaseUrl,omitempty" arm:"read"`
	// One event is sent at a time, so that the size of a batch says nothing.
	MaxEventsPerBatch             int32 `json:"maxEventsPerBatch,omitempty" arm:"only=1"`
	PreferredBatchSizeInKilobytes int32 `json:"preferredBatchSizeInKilobytes,omitempty" arm:"only=64"`
}

type filter struct {
	IncludedEventTypes     []string `json:"includedEventTypes"`
	SubjectBeginsWith      string   `json:"subjectBeginsWith"`
	SubjectEndsWith        string   `json:"subjectEndsWith"`
	IsSubjectCaseSensitive bool     `json:"isSubjectCaseSensitive,omitempty"`
}

type retryPolicy struct {
	MaxDeliveryAttempts      int32 `json:"maxDeliveryAttempts"`
	EventTimeToLiveInMinutes int32 `json:"eventTimeToLiveInMinutes"`
}

// parseBody reads a PUT into a spec, without its name and scope, and the endpoint's URL.
func parseBody(r decoder) (v1beta1.EventSubscriptionSpec, string, error) {
	var sent body
	if err := r.Decode(&sent); err != nil {
		return v1beta1.EventSubscriptionSpec{}, "", err
	}
	if sent.Properties.Destination == nil {
		return v1beta1.EventSubscriptionSpec{}, "", arm.InvalidParameter("properties.destination", "The destination is missing: it has the endpointType WebHook and the endpoint's URL.")
	}
	if sent.Properties.EventDeliverySchema == "" {
		// Event Grid takes nothing for its own schema: who sends nothing must not be surprised.
		sent.Properties.EventDeliverySchema = "EventGridSchema"
	}
	var spec v1beta1.EventSubscriptionSpec
	url, err := sent.Properties.apply(&spec)
	return spec, url, err
}

// decoder is an *arm.Request.
type decoder interface{ Decode(into any) error }

// apply changes a spec by what was sent, and returns the endpoint's URL, empty if it stays:
// whoever changes something else has no URL to send, as it is not shown.
func (p properties) apply(spec *v1beta1.EventSubscriptionSpec) (string, error) {
	if err := p.check(); err != nil {
		return "", err
	}
	url := ""
	if p.Destination != nil && (p.Destination.Properties.EndpointURL != "" || spec.EndpointBaseURL == "") {
		base, refused := event.Endpoint(p.Destination.Properties.EndpointURL)
		if refused != nil {
			return "", arm.Refusal([]policy.Violation{*refused})
		}
		url, spec.EndpointBaseURL = p.Destination.Properties.EndpointURL, base
	}
	if p.Filter != nil {
		spec.Filter = v1beta1.EventFilter(*p.Filter)
	}
	if p.Labels != nil {
		spec.Labels = p.Labels
	}
	if p.RetryPolicy != nil {
		spec.RetryPolicy = v1beta1.EventRetryPolicy(*p.RetryPolicy)
	}
	if p.ExpirationTimeUTC != "" {
		at, err := time.Parse(time.RFC3339, p.ExpirationTimeUTC)
		if err != nil {
			return "", arm.InvalidParameter("properties.expirationTimeUtc", "The expiration time '%.64s' is no time of RFC 3339, such as 2027-01-31T00:00:00Z.", p.ExpirationTimeUTC)
		}
		moment := metav1.NewTime(at)
		spec.ExpirationTime = &moment
	}
	return url, nil
}

// check refuses what Event Grid can do and Berth does not.
func (p properties) check() error {
	if p.EventDeliverySchema != "" && p.EventDeliverySchema != schema {
		return arm.InvalidParameter("properties.eventDeliverySchema", "The event delivery schema '%.64s' is not supported (EventGridSchema is what it is if none is given). Give '%s'.", p.EventDeliverySchema, schema)
	}
	if p.Destination != nil && p.Destination.EndpointType != endpointType {
		return arm.InvalidParameter("properties.destination.endpointType", "The endpoint type '%.64s' is not supported. Give '%s'.", p.Destination.EndpointType, endpointType)
	}
	return nil
}

func idOf(s *v1beta1.EventSubscription) string {
	return s.Spec.Scope + "/providers/" + namespace + "/" + kind + "/" + s.Spec.Name
}

func render(s *v1beta1.EventSubscription) body {
	spec := &s.Spec
	shown := filter(spec.Filter)
	made := properties{
		Topic: spec.Scope, ProvisioningState: "Succeeded", EventDeliverySchema: schema, Labels: spec.Labels, Filter: &shown,
		Destination: &destination{EndpointType: endpointType, Properties: webhook{EndpointBaseURL: spec.EndpointBaseURL, MaxEventsPerBatch: 1, PreferredBatchSizeInKilobytes: 64}},
		RetryPolicy: &retryPolicy{MaxDeliveryAttempts: event.Attempts(spec.RetryPolicy), EventTimeToLiveInMinutes: int32(event.TTL(spec.RetryPolicy) / time.Minute)},
	}
	if ends := spec.ExpirationTime; ends != nil {
		made.ExpirationTimeUTC = ends.UTC().Format(time.RFC3339)
	}
	return body{ID: idOf(s), Name: spec.Name, Type: namespace + "/" + kind, Properties: made}
}
