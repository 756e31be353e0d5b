package insights

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
)

// The categories of events (Azure: activity-log-schema). What is asked for is
// Administrative; what Berth tells of is ResourceHealth.
const (
	categoryAdministrative = "Administrative"
	categoryHealth         = "ResourceHealth"
)

// event is one event of an entry, before it is rendered.
type event struct {
	entry *v1beta1.ActivityLogEntry
	// place is where it stands among its entry's: 0 the beginning, 1 the answer, 2 the end.
	place int
	at    time.Time
	// name is BeginRequest, EndRequest or a notice's reason.
	name             string
	status, level    string
	subStatus        string
	message, errCode string
}

// eventsOf are the events of an entry in the order in which they came: that a request
// began, what it was answered, and how the Operation ended that it began.
func eventsOf(entry *v1beta1.ActivityLogEntry) []event {
	if notice := entry.Spec.Notice; notice != nil {
		level := "Informational"
		if notice.Warning {
			level = "Warning"
		}
		return []event{{entry: entry, at: entry.Spec.Time.Time, name: notice.Reason, status: "Active", level: level, message: notice.Message}}
	}
	all := []event{{entry: entry, at: entry.Spec.Time.Time, name: "BeginRequest", status: "Started", level: "Informational"}}
	for i, result := range []*v1beta1.ActivityResult{entry.Status.Answer, entry.Status.End} {
		if result != nil {
			made := ended(entry, result)
			made.place = i + 1
			all = append(all, made)
		}
	}
	return all
}

func ended(entry *v1beta1.ActivityLogEntry, result *v1beta1.ActivityResult) event {
	made := event{entry: entry, at: result.Time.Time, name: "EndRequest", status: string(result.Code), level: "Informational"}
	if code := int(result.HTTPStatus); code != 0 {
		made.subStatus = http.StatusText(code) + fmt.Sprintf(" (HTTP Status Code: %d)", code)
	}
	if result.Code == v1beta1.ActivityFailed {
		made.level = "Error"
	}
	if result.Error != nil {
		made.errCode, made.message = result.Error.Code, result.Error.Message
	}
	return made
}

func (e event) category() string {
	if e.entry.Spec.Notice != nil {
		return categoryHealth
	}
	return categoryAdministrative
}

// provider is the namespace of what was acted on.
func (e event) provider() string {
	namespace, _, _ := strings.Cut(activity.TypeOf(e.entry.Spec.ResourceID), "/")
	return namespace
}

// group is the resource group of what was acted on, empty if it is in none.
func (e event) group() string {
	segments := strings.Split(strings.Trim(e.entry.Spec.ResourceID, "/"), "/")
	if len(segments) >= 4 && strings.EqualFold(segments[2], "resourceGroups") {
		return segments[3]
	}
	return ""
}

// id is a GUID that the event has for ever.
func (e event) id() string {
	sum := sha256.Sum256([]byte(e.entry.Namespace + "\n" + e.entry.Name + "\n" + e.name + "\n" + e.status + "\n" + strconv.Itoa(e.place)))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// ticks are .NET's: units of 100 ns since the year 1.
func ticks(at time.Time) int64 {
	const unixEpoch = 621355968000000000
	return unixEpoch + at.UnixNano()/100
}

// localized is a text with its translation, which is the same.
func localized(value string) map[string]any {
	return map[string]any{"value": value, "localizedValue": value}
}

// render is the event on the wire (ARM: EventData).
func (e event) render(subscription *v1beta1.Subscription) map[string]any {
	spec := &e.entry.Spec
	at, id := e.at.UTC().Format("2006-01-02T15:04:05.0000000Z07:00"), e.id()
	subStatus := map[string]any{"value": "", "localizedValue": ""}
	if e.subStatus != "" {
		word, _, _ := strings.Cut(e.subStatus, " (")
		subStatus = map[string]any{"value": strings.ReplaceAll(word, " ", ""), "localizedValue": e.subStatus}
	}
	body := map[string]any{
		"authorization":        map[string]any{"action": spec.Operation, "scope": spec.ResourceID},
		"caller":               spec.Caller,
		"channels":             "Operation",
		"claims":               claims(spec),
		"correlationId":        spec.CorrelationID,
		"description":          "",
		"eventDataId":          id,
		"eventName":            localized(e.name),
		"category":             localized(e.category()),
		"eventTimestamp":       at,
		"id":                   fmt.Sprintf("%s/events/%s/ticks/%d", spec.ResourceID, id, ticks(e.at)),
		"level":                e.level,
		"operationId":          e.entry.Name,
		"operationName":        localized(spec.Operation),
		"resourceGroupName":    e.group(),
		"resourceProviderName": localized(e.provider()),
		"resourceType":         localized(activity.TypeOf(spec.ResourceID)),
		"resourceId":           spec.ResourceID,
		"status":               localized(e.status),
		"subStatus":            subStatus,
		"submissionTimestamp":  at,
		"subscriptionId":       subscription.Name,
		"tenantId":             subscription.Spec.TenantID,
		"properties":           e.properties(),
	}
	if spec.Notice != nil {
		body["description"] = spec.Notice.Message
	}
	if request := spec.Request; request != nil {
		body["httpRequest"] = map[string]any{"clientRequestId": request.ClientRequestID, "clientIpAddress": request.ClientAddress, "method": request.Method}
	}
	return body
}

func (e event) properties() map[string]string {
	found := map[string]string{}
	for key, value := range map[string]string{"statusCode": e.statusCode(), "errorCode": e.errCode, "statusMessage": e.message} {
		if value != "" {
			found[key] = value
		}
	}
	return found
}

func (e event) statusCode() string {
	word, _, _ := strings.Cut(e.subStatus, " (")
	return strings.ReplaceAll(word, " ", "")
}

// claims are those of the caller's token that say who it is, by Azure's names.
func claims(spec *v1beta1.ActivitySpec) map[string]string {
	const schema = "http://schemas.microsoft.com/identity/claims/"
	found := map[string]string{}
	request := spec.Request
	if request == nil {
		return found
	}
	found["appid"], found[schema+"tenantid"], found[schema+"objectidentifier"] = request.ClientID, request.TenantID, request.ObjectID
	if spec.Caller != request.ClientID {
		found["http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"] = spec.Caller
	}
	return found
}
