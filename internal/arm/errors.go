package arm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"berth.dev/berth/internal/operation"
)

// Error is an error that a client may see: ARM's body with its HTTP status. Any
// other error reaches the client only as a correlation id.
type Error struct {
	Status  int     `json:"-"`
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Target  string  `json:"target,omitempty"`
	Subcode string  `json:"subcode,omitempty"`
	Details []Error `json:"details,omitempty"`
	// Header is added to the answer.
	Header http.Header `json:"-"`
}

func (e *Error) Error() string {
	if e.Target != "" {
		return e.Code + " (" + e.Target + "): " + e.Message
	}
	return e.Code + ": " + e.Message
}

// Errorf makes an Error. The message says what was wrong, where, and what would be right.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// InvalidParameter refuses a field or a query parameter by its name.
func InvalidParameter(target, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "InvalidParameter", Target: target, Message: fmt.Sprintf(format, args...)}
}

// ResourceNotFound says that a resource does not exist: provider type such as
// Microsoft.ContainerService/managedClusters and the name asked for.
func ResourceNotFound(kind, name, group string) *Error {
	return Errorf(http.StatusNotFound, "ResourceNotFound",
		"The Resource '%s/%s' under resource group '%s' was not found. Check the name, the group and the subscription.", kind, name, group)
}

// ParentResourceNotFound says that a child cannot be had because its parent does not exist.
func ParentResourceNotFound(kind, name string) *Error {
	return Errorf(http.StatusNotFound, "ParentResourceNotFound",
		"Can not perform requested operation on nested resource. Parent resource '%s/%s' not found.", kind, name)
}

// NotImplemented refuses what AKS can do and this Berth cannot yet.
func NotImplemented(what string) *Error {
	return Errorf(http.StatusNotImplemented, "OperationNotAllowed", "Operation is not allowed: this version of Berth does not implement %s yet.", what)
}

// PendingOperation is AKS's text for a second operation while one runs.
func PendingOperation(name, state string) *Error {
	return Errorf(http.StatusConflict, "OperationNotAllowed",
		"Operation is not allowed: Another operation (%s - %s) is in progress, please wait for it to finish before starting a new operation. See https://aka.ms/aks-pending-operation", name, state)
}

// etagMismatch is AKS's text for a race inside the service.
func etagMismatch() *Error {
	return Errorf(http.StatusConflict, "EtagMismatch", "Operation is not allowed: Another operation is in progress.")
}

// asError is the one place where errors become what a client sees.
func asError(err error) *Error {
	var known *Error
	var busy *operation.BusyError
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &busy):
		return PendingOperation(lastSegment(busy.Operation.Spec.Target.ResourceID), string(busy.Operation.Spec.State))
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return etagMismatch()
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err):
		if errors.As(err, &status) && !apierrors.HasStatusCause(err, "NamespaceTerminating") {
			return Errorf(http.StatusBadRequest, "BadRequest", "%s", refusalText(status.Status().Message))
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Errorf(http.StatusServiceUnavailable, "ServerTimeout", "The request was ended before its work was done. Try it again.")
	}
	return nil
}

// refusalText leaves out which of our webhooks spoke.
func refusalText(message string) string {
	if _, text, found := strings.Cut(message, "denied the request: "); found {
		return text
	}
	return message
}

// internalError tells nothing but where to look.
func internalError(correlationID string) *Error {
	return Errorf(http.StatusInternalServerError, "InternalServerError",
		"Something went wrong inside Berth, and it is not your request's fault. Berth's log has it under correlation id '%s'.", correlationID)
}

func lastSegment(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
