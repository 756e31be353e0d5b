package arm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

const (
	// OperationVersion is the api-version in operation URLs, as AKS has it.
	OperationVersion = "2017-08-31"
	// retryAfter is how long clients wait between polls, in seconds. Without it
	// the SDKs wait 30.
	retryAfter = "1"
	// beginAttempts is how often a claim is repeated that raced with a controller
	// writing a status.
	beginAttempts = 5
)

// Begin starts an asynchronous operation for the request: it names it, says who
// asked, and writes it before anything else happens.
func (s *Server) Begin(ctx context.Context, r *Request, spec v1beta1.OperationSpec) (*v1beta1.Operation, error) {
	spec.RequestedBy, spec.CorrelationID, spec.RequestID = r.Caller.Name(), r.CorrelationID, r.RequestID
	op := &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace(), Name: NewID()},
		Spec:       spec,
	}
	err := operation.Begin(ctx, s.Client, s.APIReader, op)
	for attempt := 1; attempt < beginAttempts && raced(err) && op.ResourceVersion != ""; attempt++ {
		err = operation.Apply(ctx, s.Client, s.APIReader, op)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin %s of %s: %w", spec.Type, spec.Target.ResourceID, err), s.giveUp(ctx, op, err))
	}
	s.Log.Info("operation begun", "operation", op.Name, "type", string(spec.Type), "target", spec.Target.ResourceID, "correlation", r.CorrelationID, "caller", r.Caller.Name())
	return op, nil
}

// raced says whether another writer was faster: a controller with a status, or
// another request.
func raced(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// giveUp ends an operation that lost its race, so that nobody finishes later what
// the client was told is refused. After any other error it stays: the operation
// controller takes it up.
func (s *Server) giveUp(ctx context.Context, op *v1beta1.Operation, cause error) error {
	refusal := asError(cause)
	if refusal == nil || op.ResourceVersion == "" || refusal.Status >= http.StatusInternalServerError {
		return nil
	}
	return operation.End(ctx, s.Client, op, v1beta1.OperationCanceled, &v1beta1.OperationError{Code: refusal.Code, Message: refusal.Message}, s.Now())
}

// Active returns the unfinished operation that holds an object, or nil.
func (s *Server) Active(ctx context.Context, object client.Object) (*v1beta1.Operation, error) {
	return operation.Active(ctx, s.APIReader, object)
}

// Accepted answers with the headers by which a client follows an operation: a
// PUT sends the resource with 200 or 201, a DELETE or POST nothing with 202.
// Base is where the provider serves operations/{id} and operationresults/{id}.
func (s *Server) Accepted(base string, op *v1beta1.Operation, status int, body any) *Response {
	base = s.PublicURL + base
	header := http.Header{}
	header.Set("Azure-AsyncOperation", base+"/operations/"+op.Name+"?api-version="+OperationVersion)
	header.Set("Retry-After", retryAfter)
	if status == http.StatusAccepted {
		header.Set("Location", base+"/operationresults/"+op.Name+"?api-version="+OperationVersion)
	}
	return &Response{Status: status, Header: header, Body: body}
}

// Operation finds the operation that the path names.
func (s *Server) Operation(ctx context.Context, r *Request) (*v1beta1.Operation, error) {
	id := r.Parameter("operation")
	missing := Errorf(http.StatusNotFound, "NotFound", "The operation '%s' was not found. Ended operations are kept for a day.", short(id))
	if !guidPattern.MatchString(id) {
		return nil, missing
	}
	var op v1beta1.Operation
	err := s.APIReader.Get(ctx, client.ObjectKey{Namespace: r.Namespace(), Name: strings.ToLower(id)}, &op)
	if apierrors.IsNotFound(err) {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("read operation %s: %w", id, err)
	}
	return &op, nil
}

// operationBody is the body of a poll.
type operationBody struct {
	ID        string                      `json:"id"`
	Name      string                      `json:"name"`
	Status    v1beta1.OperationStatusCode `json:"status"`
	StartTime string                      `json:"startTime"`
	EndTime   string                      `json:"endTime,omitempty"`
	Error     *Error                      `json:"error,omitempty"`
}

// OperationStatus answers a poll of Azure-AsyncOperation: always 200, and the
// operation's own status in the body.
func (s *Server) OperationStatus(ctx context.Context, r *Request) (*Response, error) {
	op, err := s.Operation(ctx, r)
	if err != nil {
		return nil, err
	}
	body := operationBody{ID: r.URL.Path, Name: op.Name, Status: op.Status.Status, StartTime: timestamp(&op.CreationTimestamp)}
	if body.Status == "" {
		body.Status = v1beta1.OperationInProgress
	}
	if op.Status.StartTime != nil {
		body.StartTime = timestamp(op.Status.StartTime)
	}
	if !operation.Finished(op) {
		return &Response{Status: http.StatusOK, Header: http.Header{"Retry-After": {retryAfter}}, Body: body}, nil
	}
	body.EndTime = timestamp(op.Status.EndTime)
	body.Error = operationError(op)
	return OK(body)
}

// OperationResult answers a poll of Location: 202 while the operation runs, then
// 204, or its error.
func (s *Server) OperationResult(ctx context.Context, r *Request) (*Response, error) {
	op, err := s.Operation(ctx, r)
	if err != nil {
		return nil, err
	}
	if !operation.Finished(op) {
		header := http.Header{"Retry-After": {retryAfter}, "Location": {s.PublicURL + r.URL.RequestURI()}}
		return &Response{Status: http.StatusAccepted, Header: header}, nil
	}
	if failure := operationError(op); failure != nil {
		failure.Status = http.StatusConflict
		return nil, failure
	}
	return NoContent()
}

func operationError(op *v1beta1.Operation) *Error {
	if op.Status.Status == v1beta1.OperationSucceeded {
		return nil
	}
	if cause := op.Status.Error; cause != nil {
		return &Error{Code: cause.Code, Message: cause.Message, Target: cause.Target}
	}
	return &Error{Code: "Operation" + string(op.Status.Status), Message: "The operation ended as " + string(op.Status.Status) + " and left no reason."}
}

func timestamp(t *metav1.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
