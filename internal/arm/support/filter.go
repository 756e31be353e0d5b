package support

import (
	"regexp"
	"strings"
	"time"
)

// Fields that lists can be filtered by, in lower case; true for times.
var (
	ticketFields        = map[string]bool{"status": false, "serviceid": false, "problemclassificationid": false, "createddate": true}
	communicationFields = map[string]bool{"communicationtype": false, "createddate": true}
)

// filter is a $filter: all of its terms hold.
type filter []term

// term compares a field with a value.
type term struct {
	field, operator, value string
	// at is the value of a time, nil of anything else.
	at *time.Time
}

var (
	conjunction = regexp.MustCompile(`(?i)\s+and\s+`)
	comparison  = regexp.MustCompile(`^(\w+)\s+(\w+)\s+('[^']*'|\S+)$`)
)

// parseFilter reads terms such as "CreatedDate ge 2026-11-26T00:00:00Z and Status eq 'Open'".
func parseFilter(text string, fields map[string]bool) (filter, error) {
	var terms filter
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	for _, part := range conjunction.Split(text, -1) {
		found := comparison.FindStringSubmatch(strings.TrimSpace(part))
		if found == nil {
			return nil, invalid("$filter", "The filter '%s' is invalid: it must be FIELD OPERATOR VALUE, with more behind 'and'.", clip(text))
		}
		one := term{field: strings.ToLower(found[1]), operator: strings.ToLower(found[2]), value: strings.Trim(found[3], "'")}
		isTime, known := fields[one.field]
		switch {
		case !known:
			return nil, invalid("$filter", "The filter '%s' is invalid: '%s' is no field to filter by.", clip(text), clip(found[1]))
		case isTime && one.operator != "gt" && one.operator != "ge":
			return nil, invalid("$filter", "The filter '%s' is invalid: the operators of '%s' are 'gt' and 'ge'.", clip(text), found[1])
		case !isTime && one.operator != "eq":
			return nil, invalid("$filter", "The filter '%s' is invalid: the operator of '%s' is 'eq'.", clip(text), found[1])
		}
		if isTime {
			at, err := time.Parse(time.RFC3339, one.value)
			if err != nil {
				return nil, invalid("$filter", "The filter '%s' is invalid: '%s' is no time such as 2026-11-26T12:00:00Z.", clip(text), clip(one.value))
			}
			one.at = &at
		}
		terms = append(terms, one)
	}
	return terms, nil
}

// holds says whether the fields of something, by their names in lower case, fit.
func (f filter) holds(fields map[string]string) bool {
	for _, one := range f {
		has := fields[one.field]
		if one.at == nil {
			if !strings.EqualFold(has, one.value) {
				return false
			}
			continue
		}
		at, err := time.Parse(time.RFC3339, has)
		if err != nil || at.Before(*one.at) || one.operator == "gt" && at.Equal(*one.at) {
			return false
		}
	}
	return true
}
