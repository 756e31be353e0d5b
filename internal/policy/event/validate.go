package event

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// The limits of an event subscription (Azure: event-grid, quotas and limits).
const (
	maxTypes    = 100
	maxLabels   = 20
	maxText     = 2048
	maxAttempts = 30
	maxTTL      = 1440
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9-]{3,64}$`)

// Validate refuses what Event Grid does not take.
func Validate(spec v1beta1.EventSubscriptionSpec, now time.Time) []policy.Violation {
	var found []policy.Violation
	add := func(target, format string, args ...any) {
		found = append(found, policy.Violation{Code: policy.CodeInvalidParameter, Target: target, Message: fmt.Sprintf(format, args...)})
	}
	if !namePattern.MatchString(spec.Name) {
		add("eventSubscriptionName", "The name '%s' of an event subscription is invalid: it has 3 to 64 letters, digits and hyphens.", spec.Name)
	}
	if retry := spec.RetryPolicy; retry.MaxDeliveryAttempts < 0 || retry.MaxDeliveryAttempts > maxAttempts {
		add("properties.retryPolicy.maxDeliveryAttempts", "The number of delivery attempts %d is invalid: it is 1 to %d.", retry.MaxDeliveryAttempts, maxAttempts)
	}
	if ttl := spec.RetryPolicy.EventTimeToLiveInMinutes; ttl < 0 || ttl > maxTTL {
		add("properties.retryPolicy.eventTimeToLiveInMinutes", "The event time to live %d is invalid: it is 1 to %d minutes.", ttl, maxTTL)
	}
	if ends := spec.ExpirationTime; ends != nil && !ends.After(now) {
		add("properties.expirationTimeUtc", "The expiration time %s is in the past.", ends.UTC().Format(time.RFC3339))
	}
	if len(spec.Labels) > maxLabels || slices.ContainsFunc(spec.Labels, tooLong) {
		add("properties.labels", "There are at most %d labels of at most %d bytes.", maxLabels, maxText)
	}
	if tooLong(spec.Filter.SubjectBeginsWith) || tooLong(spec.Filter.SubjectEndsWith) {
		add("properties.filter", "The beginning and the end of a subject have at most %d bytes.", maxText)
	}
	return append(found, validateTypes(spec)...)
}

func validateTypes(spec v1beta1.EventSubscriptionSpec) []policy.Violation {
	const target = "properties.filter.includedEventTypes"
	refuse := func(format string, args ...any) []policy.Violation {
		return []policy.Violation{{Code: policy.CodeInvalidParameter, Target: target, Message: fmt.Sprintf(format, args...)}}
	}
	if len(spec.Filter.IncludedEventTypes) > maxTypes {
		return refuse("There are at most %d event types; leave them out to have all of them.", maxTypes)
	}
	for _, name := range spec.Filter.IncludedEventTypes {
		if !known(name) {
			return refuse("The event type '%.128s' is not supported. There are '%s', and dev.berth. with the reason of a notice. Leave them out to have all of them.", name, strings.Join(Types(), ", "))
		}
		if !offered(name, spec.Scope) {
			return refuse("The event type '%s' is one of subscriptions and resource groups: a managed cluster has no such events.", name)
		}
	}
	return nil
}

func tooLong(text string) bool { return len(text) > maxText }

// Endpoint reads a webhook's URL and returns it without what is secret in it.
func Endpoint(text string) (base string, refused *policy.Violation) {
	refuse := func(message string) (string, *policy.Violation) {
		return "", &policy.Violation{Code: policy.CodeInvalidParameter, Target: "properties.destination.properties.endpointUrl", Message: message}
	}
	if text == "" || tooLong(text) {
		return refuse(fmt.Sprintf("The endpoint's URL is missing, or longer than %d bytes.", maxText))
	}
	at, err := url.Parse(text)
	switch {
	case err != nil:
		return refuse("The endpoint's URL cannot be read.")
	case !strings.EqualFold(at.Scheme, "https"):
		return refuse("The endpoint's URL does not begin with https://: events are sent over TLS alone.")
	case at.Hostname() == "":
		return refuse("The endpoint's URL names no host.")
	case at.User != nil:
		return refuse("The endpoint's URL has a user or a password. A secret belongs into its query.")
	case at.Fragment != "":
		return refuse("The endpoint's URL has a fragment, which is never sent.")
	}
	at.RawQuery, at.ForceQuery = "", false
	return at.String(), nil
}
