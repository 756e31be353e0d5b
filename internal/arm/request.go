package arm

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/identity"
)

// maxBody bounds a request's body where the route does not.
const maxBody = 1 << 20

// Request is an ARM request that a provider answers.
type Request struct {
	*http.Request
	// Caller is who the token speaks for.
	Caller identity.Caller
	// Subscription is nil outside /subscriptions/{subscription}.
	Subscription *v1beta1.Subscription
	// APIVersion is what the client asked for.
	APIVersion string
	// RequestID names this call and CorrelationID the user's action.
	RequestID, CorrelationID string
	// ClientRequestID is the client's own name of the call, echoed.
	ClientRequestID string

	parameters map[string]string
	query      url.Values
	body       []byte
}

// Response is what a provider answers. A nil Body sends none.
type Response struct {
	Status int
	Header http.Header
	Body   any
}

// OK answers 200 with a body.
func OK(body any) (*Response, error) { return &Response{Status: http.StatusOK, Body: body}, nil }

// NoContent answers 204.
func NoContent() (*Response, error) { return &Response{Status: http.StatusNoContent}, nil }

// Parameter is the segment of the path that the route calls by this name, in the
// client's own casing.
func (r *Request) Parameter(name string) string { return r.parameters[name] }

// Empty says whether the request has no body.
func (r *Request) Empty() bool { return len(bytes.TrimSpace(r.body)) == 0 }

// Query is a query parameter; its name is compared without case.
func (r *Request) Query(name string) string {
	for key, values := range r.query {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// Namespace is where the subscription's objects are.
func (r *Request) Namespace() string { return v1beta1.SubscriptionNamespace(r.Subscription.Name) }

// SubscriptionPath is /subscriptions/{id}, the start of every resource id.
func (r *Request) SubscriptionPath() string { return "/subscriptions/" + r.Subscription.Name }

// GroupPath is the id of a resource group.
func (r *Request) GroupPath(group string) string {
	return r.SubscriptionPath() + "/resourceGroups/" + group
}

var guidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// headerPattern is what we echo of a client's own id.
var headerPattern = regexp.MustCompile(`^[\w.:+/=-]{1,128}$`)

func (s *Server) newRequest(r *http.Request) *Request {
	request := &Request{Request: r, RequestID: NewID(), query: r.URL.Query()}
	request.CorrelationID = request.RequestID
	if asked := r.Header.Get("x-ms-correlation-request-id"); guidPattern.MatchString(asked) {
		request.CorrelationID = asked
	}
	if asked := r.Header.Get("x-ms-client-request-id"); headerPattern.MatchString(asked) {
		request.ClientRequestID = asked
	}
	return request
}

// NewID draws a GUID.
func NewID() string {
	var raw [16]byte
	rand.Read(raw[:])
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

// RawBody is the request's body as it was sent, for what Decode is not for.
func (r *Request) RawBody() []byte { return r.body }

// readBody reads the body, once.
func (r *Request) readBody(w http.ResponseWriter, limit int64) error {
	if r.body != nil {
		return nil
	}
	if limit == 0 {
		limit = maxBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request's body is larger than %d bytes.", limit)
	}
	if err != nil {
		return Errorf(http.StatusBadRequest, "InvalidRequestContent", "The request's body could not be read.")
	}
	r.body = body
	return nil
}

// writeIDs sets the headers by which a call is found again.
func writeIDs(header http.Header, r *Request) {
	header.Set("x-ms-request-id", r.RequestID)
	header.Set("x-ms-correlation-request-id", r.CorrelationID)
	header.Set("x-ms-routing-request-id", "BERTH:"+r.RequestID)
	if r.ClientRequestID != "" {
		header.Set("x-ms-client-request-id", r.ClientRequestID)
	}
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	header.Set("Cache-Control", "no-cache")
}

func writeResponse(w http.ResponseWriter, r *Request, response *Response) {
	for key, values := range response.Header {
		w.Header()[key] = values
	}
	writeJSON(w, r, response.Status, response.Body)
}

func writeError(w http.ResponseWriter, r *Request, e *Error) {
	for key, values := range e.Header {
		w.Header()[key] = values
	}
	w.Header().Set("x-ms-error-code", e.Code)
	w.Header().Set("x-ms-failure-cause", failureCause(e.Status))
	writeJSON(w, r, e.Status, map[string]any{"error": e})
}

// failureCause tells a client whether the gate or the resource's own service refused.
func failureCause(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests:
		return "gateway"
	default:
		return "service"
	}
}

func writeJSON(w http.ResponseWriter, r *Request, status int, body any) {
	if body == nil || r.Method == http.MethodHead {
		w.WriteHeader(status)
		return
	}
	var raw bytes.Buffer
	encoder := json.NewEncoder(&raw)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		status = http.StatusInternalServerError
		raw = *bytes.NewBufferString(`{"error":{"code":"InternalServerError","message":"The answer could not be written."}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(raw.Bytes())
}
