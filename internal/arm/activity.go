package arm

import (
	"context"
	"net"
	"net/http"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
)

// logged says whether requests of a route are in the activity log: all that is no read,
// and POSTs that hand out credentials, though they change nothing.
func (r *Route) logged() bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && !r.Unlogged
}

// activityLog is the server's pen.
func (s *Server) activityLog() activity.Log {
	return activity.Log{Client: s.Client, Now: s.Now, Log: s.Log}
}

// begun writes the entry of a request that has not been looked at any further; nil for
// what is not logged, and if the log cannot be written: the request goes on.
func (s *Server) begun(ctx context.Context, route *Route, r *Request) *v1beta1.ActivityLogEntry {
	if r.Subscription == nil || !route.logged() {
		return nil
	}
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	return s.activityLog().Begin(ctx, r.Namespace(), r.RequestID, v1beta1.ActivitySpec{
		Operation: r.operationName(route), ResourceID: r.scope(route), Caller: r.Caller.Name(), CorrelationID: r.CorrelationID,
		Request: &v1beta1.ActivityRequest{
			Method: r.Method, ClientRequestID: r.ClientRequestID, ClientAddress: address,
			TenantID: r.Caller.TenantID, ClientID: r.Caller.ClientID, ObjectID: r.Caller.ObjectID,
		},
	})
}

// answered adds to an entry what the request is answered.
func (s *Server) answered(ctx context.Context, entry *v1beta1.ActivityLogEntry, response *Response, err error) {
	if err != nil {
		known := asError(err)
		if known == nil {
			known = internalError("")
		}
		s.activityLog().Answer(ctx, entry, v1beta1.ActivityFailed, known.Status, &v1beta1.OperationError{Code: known.Code, Message: known.Message, Target: known.Target})
		return
	}
	code := v1beta1.ActivitySucceeded
	if response.Header.Get("Azure-AsyncOperation") != "" || response.Status == http.StatusAccepted {
		code = v1beta1.ActivityAccepted
	}
	s.activityLog().Answer(ctx, entry, code, response.Status, nil)
}

// operationName is Azure's name of what a request asks for, such as
// Microsoft.ContainerService/managedClusters/stop/action.
func (r *Request) operationName(route *Route) string {
	kind := activity.TypeOf(r.scope(route))
	switch r.Method {
	case http.MethodDelete:
		return kind + "/delete"
	case http.MethodPost:
		return kind + "/" + strings.Trim(route.segments[len(route.segments)-1], "{}") + "/action"
	default:
		return kind + "/write"
	}
}
