package event

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// Event is what is told, before it is addressed.
type Event struct {
	// ID is the same for ever, Type is the CloudEvent's.
	ID, Type string
	Time     time.Time
	// ResourceID is the ARM id of what it is about.
	ResourceID string

	cluster string // the ARM id of the cluster that it is about, if any
	subject string
	data    map[string]any
}

// Of is the event of an entry. An entry has one, once it is known how its act went; false
// until then, and for what is not told.
func Of(entry *v1beta1.ActivityLogEntry, tenantID string) (Event, bool) {
	if notice := entry.Spec.Notice; notice != nil {
		return ofNotice(entry, notice)
	}
	result := outcome(entry)
	if result == nil {
		return Event{}, false
	}
	kind := typeOfOperation(entry.Spec.Operation, result.Code)
	if kind == "" {
		return Event{}, false
	}
	made := Event{ID: idOf(entry), Type: kind, Time: result.Time.Time, ResourceID: entry.Spec.ResourceID, cluster: clusterOf(entry.Spec.ResourceID), subject: entry.Spec.ResourceID}
	made.data = resourceData(entry, result, tenantID)
	return made, true
}

// outcome is how an act went, nil while that is not known: what is answered as accepted
// goes on, and what nobody asked for has no answer.
func outcome(entry *v1beta1.ActivityLogEntry) *v1beta1.ActivityResult {
	if answer := entry.Status.Answer; answer != nil && answer.Code != v1beta1.ActivityAccepted {
		return answer
	}
	return entry.Status.End
}

func ofNotice(entry *v1beta1.ActivityLogEntry, notice *v1beta1.ActivityNotice) (Event, bool) {
	if notice.Reason == ReasonDropped {
		return Event{}, false
	}
	id := entry.Spec.ResourceID
	made := Event{ID: idOf(entry), Type: typeOfNotice(notice.Reason), Time: entry.Spec.Time.Time, ResourceID: id, cluster: clusterOf(id), subject: id, data: map[string]any{}}
	for key, value := range notice.Data {
		made.data[key] = value
	}
	if strings.HasPrefix(made.Type, prefixAKS) {
		// The subject of AKS's events is the cluster's name.
		made.subject = made.cluster[strings.LastIndexByte(made.cluster, '/')+1:]
		return made, true
	}
	level := "Informational"
	if notice.Warning {
		level = "Warning"
	}
	for key, value := range map[string]any{"reason": notice.Reason, "message": notice.Message, "level": level, "resourceId": id, "caller": entry.Spec.Caller, "correlationId": entry.Spec.CorrelationID} {
		made.data[key] = value
	}
	return made, true
}

// resourceData is the data of ARM's events (Azure: event-schema-subscriptions).
func resourceData(entry *v1beta1.ActivityLogEntry, result *v1beta1.ActivityResult, tenantID string) map[string]any {
	spec := &entry.Spec
	data := map[string]any{
		"authorization":    map[string]any{"scope": spec.ResourceID, "action": spec.Operation},
		"claims":           claims(spec),
		"correlationId":    spec.CorrelationID,
		"resourceProvider": provider(spec.Operation),
		"resourceUri":      spec.ResourceID,
		"operationName":    spec.Operation,
		"status":           string(result.Code),
		"subscriptionId":   strings.TrimPrefix(entry.Namespace, v1beta1.SubscriptionNamespace("")),
		"tenantId":         tenantID,
	}
	if request := spec.Request; request != nil {
		data["httpRequest"] = map[string]any{"clientRequestId": request.ClientRequestID, "clientIpAddress": request.ClientAddress, "method": request.Method}
	}
	if result.Error != nil {
		data["error"] = map[string]any{"code": result.Error.Code, "message": result.Error.Message}
	}
	return data
}

func claims(spec *v1beta1.ActivitySpec) map[string]any {
	found := map[string]any{"caller": spec.Caller}
	if request := spec.Request; request != nil {
		found["appid"], found["oid"] = request.ClientID, request.ObjectID
	}
	return found
}

func provider(operation string) string {
	namespace, _, _ := strings.Cut(operation, "/")
	return namespace
}

// idOf is a GUID that the event has for ever.
func idOf(entry *v1beta1.ActivityLogEntry) string {
	sum := sha256.Sum256([]byte("event\n" + entry.Namespace + "\n" + entry.Name))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// clusterOf is the id of the cluster that an id is of or lies in; empty if there is none.
func clusterOf(id string) string {
	segments := strings.Split(strings.Trim(id, "/"), "/")
	for i := 0; i+3 < len(segments); i++ {
		if strings.EqualFold(segments[i], "providers") && strings.EqualFold(segments[i+1], "Microsoft.ContainerService") && strings.EqualFold(segments[i+2], "managedClusters") {
			return "/" + strings.Join(segments[:i+4], "/")
		}
	}
	return ""
}

// source is the topic that the event is of: the cluster, or the scope of whoever is told.
func (e Event) source(scope string) string {
	if e.cluster != "" && !strings.HasPrefix(e.Type, prefixResources) {
		return e.cluster
	}
	return scope
}

// Body is the event as CloudEvents' JSON, for one event subscription.
func (e Event) Body(spec v1beta1.EventSubscriptionSpec) ([]byte, error) {
	raw, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": e.ID, "type": e.Type, "source": e.source(spec.Scope), "subject": e.subject,
		"time": e.Time.UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json", "data": e.data,
	})
	if err != nil {
		return nil, fmt.Errorf("write event %s: %w", e.ID, err)
	}
	return raw, nil
}
