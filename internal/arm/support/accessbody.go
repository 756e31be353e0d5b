package support

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

// accessBody is Berth's own resource: an access of support (C7).
type accessBody struct {
	ID         string           `json:"id" arm:"read"`
	Name       string           `json:"name" arm:"read"`
	Type       string           `json:"type" arm:"read"`
	Properties accessProperties `json:"properties"`
}

type accessProperties struct {
	Scopes            []string `json:"scopes"`
	Reason            string   `json:"reason"`
	DurationInMinutes *int64   `json:"durationInMinutes,omitempty"`
	ResourceID        string   `json:"resourceId,omitempty" arm:"read"`
	Engineer          string   `json:"engineer,omitempty" arm:"read"`
	State             string   `json:"state,omitempty" arm:"read"`
	Created           string   `json:"created,omitempty" arm:"read"`
	Expires           string   `json:"expires,omitempty" arm:"read"`
	Granted           string   `json:"granted,omitempty" arm:"read"`
	Ended             string   `json:"ended,omitempty" arm:"read"`
	RightsRemoved     string   `json:"rightsRemoved,omitempty" arm:"read"`
	EndReason         string   `json:"endReason,omitempty" arm:"read"`
	EndMessage        string   `json:"endMessage,omitempty" arm:"read"`
}

// stateOf is one word for how an access is.
func stateOf(of *v1beta1.SupportAccess, now time.Time) string {
	switch {
	case of.Status.Ended != nil:
		return "Ended"
	case of.Spec.Revoked != nil, !now.Before(of.Spec.Expires.Time):
		return "Ending"
	case of.Status.Granted != nil:
		return "Active"
	default:
		return "Pending"
	}
}

func accessID(r *arm.Request, of *v1beta1.SupportAccess) string {
	return ticketID(r, of.Spec.Ticket) + "/accesses/" + of.Name
}

func renderAccess(r *arm.Request, of *v1beta1.SupportAccess, now time.Time) *accessBody {
	spec, status := &of.Spec, &of.Status
	minutes := int64(spec.Expires.Sub(spec.Created.Time) / time.Minute)
	body := &accessBody{ID: accessID(r, of), Name: of.Name, Type: accessType, Properties: accessProperties{
		Reason: spec.Reason, DurationInMinutes: &minutes, ResourceID: spec.ResourceID, Engineer: spec.Engineer, State: stateOf(of, now),
		Created: stamp(spec.Created), Expires: stamp(spec.Expires), Granted: stampOr(status.Granted), Ended: stampOr(status.Ended),
		RightsRemoved: stampOr(status.Removed), EndReason: status.Reason, EndMessage: status.Message,
	}}
	for _, scope := range spec.Scopes {
		body.Properties.Scopes = append(body.Properties.Scopes, string(scope))
	}
	return body
}

func stampOr(at *metav1.Time) string {
	if at == nil {
		return ""
	}
	return stamp(*at)
}

// requestProperties is a request of an access's record on the wire: what the object has,
// but that its name is not the resource's.
type requestProperties struct {
	Time       string `json:"time"`
	Engineer   string `json:"engineer"`
	Verb       string `json:"verb"`
	Resource   string `json:"resource,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	ObjectName string `json:"objectName,omitempty"`
	URI        string `json:"uri"`
	SourceIP   string `json:"sourceIp"`
	UserAgent  string `json:"userAgent,omitempty"`
	Refused    string `json:"refused,omitempty"`
	Code       int32  `json:"code,omitempty"`
	Ended      string `json:"ended,omitempty"`
}

// microseconds is how exactly the record tells times.
const microseconds = "2006-01-02T15:04:05.000000Z"

// renderRequest shows one request of an access's record. Its name is the audit id.
func renderRequest(r *arm.Request, of *v1beta1.SupportAccess, one *v1beta1.SupportRequest) map[string]any {
	p := requestProperties{
		Time: one.Time.UTC().Format(microseconds), Engineer: one.Engineer, Verb: one.Verb, Resource: one.Resource, Namespace: one.Namespace, ObjectName: one.Name,
		URI: one.URI, SourceIP: one.SourceIP, UserAgent: one.UserAgent, Refused: one.Refused, Code: one.Code,
	}
	if one.Ended != nil {
		p.Ended = one.Ended.UTC().Format(microseconds)
	}
	return map[string]any{"id": accessID(r, of) + "/requests/" + one.ID, "name": one.ID, "type": requestType, "properties": p}
}
