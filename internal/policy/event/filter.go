package event

import (
	"slices"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// Wanted says whether an event subscription is told of an event: it is of the scope, it
// is no older than the event subscription, and the filter lets it through.
func Wanted(subscription *v1beta1.EventSubscription, e Event) bool {
	spec := &subscription.Spec
	return !e.Time.Before(subscription.CreationTimestamp.Time) && policy.ScopeWithin(e.ResourceID, spec.Scope) && offered(e.Type, spec.Scope) && holds(spec.Filter, e)
}

func holds(filter v1beta1.EventFilter, e Event) bool {
	if len(filter.IncludedEventTypes) > 0 && !slices.ContainsFunc(filter.IncludedEventTypes, func(t string) bool { return strings.EqualFold(t, e.Type) }) {
		return false
	}
	subject, begins, ends := e.subject, filter.SubjectBeginsWith, filter.SubjectEndsWith
	if !filter.IsSubjectCaseSensitive {
		subject, begins, ends = strings.ToLower(subject), strings.ToLower(begins), strings.ToLower(ends)
	}
	return strings.HasPrefix(subject, begins) && strings.HasSuffix(subject, ends)
}
