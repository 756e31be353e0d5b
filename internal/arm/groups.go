package arm

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// Group is the resource group that the path names, or 404 ResourceGroupNotFound.
func (s *Server) Group(ctx context.Context, r *Request) (*v1beta1.ResourceGroup, error) {
	name := r.Parameter("group")
	group, err := s.FindGroup(ctx, r, name)
	if err == nil && group == nil {
		err = Errorf(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", short(name))
	}
	return group, err
}

// FindGroup is the resource group of that name, nil if there is none.
func (s *Server) FindGroup(ctx context.Context, r *Request, name string) (*v1beta1.ResourceGroup, error) {
	var group v1beta1.ResourceGroup
	err := s.APIReader.Get(ctx, client.ObjectKey{Namespace: r.Namespace(), Name: v1beta1.ObjectName(name)}, &group)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read resource group %s: %w", name, err)
	}
	// A group may be named as the object of another one is.
	if !strings.EqualFold(group.Spec.Name, name) {
		return nil, nil
	}
	return &group, nil
}

// RefuseDeleting refuses to put anything into a group that is going away.
func RefuseDeleting(group *v1beta1.ResourceGroup) error {
	if group.DeletionTimestamp.IsZero() {
		return nil
	}
	return Errorf(http.StatusConflict, "ResourceGroupBeingDeleted",
		"The resource group '%s' is in deprovisioning state and cannot perform this operation.", group.Spec.Name)
}

// Deletion is the unfinished operation that already deletes the object, or nil.
func (s *Server) Deletion(ctx context.Context, object client.Object) (*v1beta1.Operation, error) {
	op, err := s.Active(ctx, object)
	if err != nil || op == nil || op.Spec.Type != v1beta1.OperationDelete {
		return nil, err
	}
	return op, nil
}

// Refusal turns what policy found wrong into one error: the first violation, with
// the others as its details.
func Refusal(violations []policy.Violation) *Error {
	all := make([]Error, 0, len(violations))
	for _, v := range violations {
		all = append(all, Error{Status: http.StatusBadRequest, Code: v.Code, Message: v.Message, Target: v.Target, Subcode: v.Subcode})
	}
	first := all[0]
	first.Details = all[1:]
	return &first
}
