package insights

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

// filter is what is asked for of the log: terms that all hold.
type filter []term

type term struct {
	field, operator, value string
	at                     time.Time
}

// fields are what can be filtered by, in lower case (Azure: activity log REST reference).
// The value is what an event has of it; times are compared on their own.
var fields = map[string]func(event) []string{
	"eventtimestamp":    nil,
	"resourcegroupname": func(e event) []string { return []string{e.group()} },
	"resourceuri":       func(e event) []string { return []string{e.entry.Spec.ResourceID} },
	"resourceid":        func(e event) []string { return []string{e.entry.Spec.ResourceID} },
	"resourceprovider":  func(e event) []string { return []string{e.provider()} },
	"correlationid":     func(e event) []string { return []string{e.entry.Spec.CorrelationID} },
	"caller":            func(e event) []string { return []string{e.entry.Spec.Caller} },
	"status":            func(e event) []string { return []string{e.status} },
	"levels":            func(e event) []string { return []string{e.level} },
	"eventchannels":     func(event) []string { return []string{"Admin", "Operation"} },
	"category":          func(e event) []string { return []string{e.category()} },
}

var (
	conjunction = regexp.MustCompile(`(?i)\s+and\s+`)
	comparison  = regexp.MustCompile(`^(\w+)\s+(\w+)\s+(?:'([^']*)'|([^\s']+))$`)
	// layouts of times; without a zone they are UTC, as az means them.
	layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999-0700", time.DateOnly}
)

// maxFilter bounds what is looked at.
const maxFilter = 4096

func badFilter(format string, args ...any) error {
	e := arm.Errorf(400, "BadRequest", format, args...)
	e.Target = "$filter"
	return e
}

// parseFilter reads a $filter. It must have a start: the log is long.
func parseFilter(text string) (filter, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, badFilter("The query parameter $filter is missing: it must be at least eventTimestamp ge 'START'.")
	}
	if len(text) > maxFilter {
		return nil, badFilter("The query parameter $filter is longer than %d characters.", maxFilter)
	}
	var terms filter
	started := false
	for _, part := range conjunction.Split(text, -1) {
		one, err := parseTerm(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		started = started || one.operator == "ge"
		terms = append(terms, one)
	}
	if !started {
		return nil, badFilter("The query parameter $filter has no start: add eventTimestamp ge 'START'.")
	}
	return terms, nil
}

func parseTerm(text string) (term, error) {
	found := comparison.FindStringSubmatch(text)
	if found == nil {
		return term{}, badFilter("The query parameter $filter is invalid: it must be FIELD OPERATOR 'VALUE', with more behind 'and'.")
	}
	one := term{field: strings.ToLower(found[1]), operator: strings.ToLower(found[2]), value: found[3] + found[4]}
	get, known := fields[one.field]
	switch {
	case !known:
		return term{}, badFilter("The query parameter $filter is invalid: '%s' is no field to filter by.", found[1])
	case get != nil && one.operator != "eq":
		return term{}, badFilter("The query parameter $filter is invalid: the operator of '%s' is 'eq'.", found[1])
	case get != nil:
		return one, nil
	case one.operator != "ge" && one.operator != "le":
		return term{}, badFilter("The query parameter $filter is invalid: the operators of '%s' are 'ge' and 'le'.", found[1])
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, one.value); err == nil {
			one.at = at
			return one, nil
		}
	}
	return term{}, badFilter("The query parameter $filter is invalid: '%s' has no time such as 2026-11-26T12:00:00Z.", found[1])
}

// holds says whether an event is asked for. A value may be a list, such as
// 'Admin, Operation', of which one must be the event's.
func (f filter) holds(e event) bool {
	for _, one := range f {
		switch one.operator {
		case "ge":
			if e.at.Before(one.at) {
				return false
			}
		case "le":
			if e.at.After(one.at) {
				return false
			}
		default:
			if !slices.ContainsFunc(fields[one.field](e), one.names) {
				return false
			}
		}
	}
	return true
}

func (t term) names(has string) bool {
	if strings.EqualFold(strings.TrimSuffix(t.value, "/"), has) {
		return true
	}
	return slices.ContainsFunc(strings.Split(t.value, ","), func(part string) bool { return strings.EqualFold(strings.TrimSpace(part), has) })
}

// selection are the properties that $select asks for; nil means all.
type selection []string

// selectable are the properties of an event.
var selectable = []string{
	"authorization", "caller", "category", "channels", "claims", "correlationId", "description", "eventDataId", "eventName", "eventTimestamp", "httpRequest",
	"id", "level", "operationId", "operationName", "properties", "resourceGroupName", "resourceId", "resourceProviderName", "resourceType", "status",
	"subStatus", "submissionTimestamp", "subscriptionId", "tenantId",
}

func parseSelect(text string) (selection, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var chosen selection
	for _, part := range strings.Split(text, ",") {
		name := strings.TrimSpace(part)
		at := slices.IndexFunc(selectable, func(known string) bool { return strings.EqualFold(known, name) })
		if at < 0 {
			return nil, arm.InvalidParameter("$select", "The value of query parameter $select is invalid: '%s' is no property of an event. The properties are %s.", name, strings.Join(selectable, ", "))
		}
		chosen = append(chosen, selectable[at])
	}
	return chosen, nil
}

func (s selection) of(e event, subscription *v1beta1.Subscription) map[string]any {
	all := e.render(subscription)
	if s == nil {
		return all
	}
	some := make(map[string]any, len(s))
	for _, name := range s {
		if value, there := all[name]; there {
			some[name] = value
		}
	}
	return some
}
