package arm

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// checkLocks refuses what locks hold (X3). It reads no cache: a lock that was just put
// holds the next request.
func (s *Server) checkLocks(ctx context.Context, route *Route, r *Request) error {
	if r.Subscription == nil || route.PassesLocks || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	var locks v1beta1.ManagementLockList
	if err := s.APIReader.List(ctx, &locks, client.InNamespace(r.Namespace())); err != nil {
		return fmt.Errorf("list locks: %w", err)
	}
	if len(locks.Items) == 0 {
		return nil
	}
	var groups v1beta1.ResourceGroupList
	if err := s.APIReader.List(ctx, &groups, client.InNamespace(r.Namespace())); err != nil {
		return fmt.Errorf("list resource groups: %w", err)
	}
	request := policy.LockedRequest{Method: r.Method, Scope: r.scope(route), Reads: route.Reads}
	if route.Deletes {
		request.Method = http.MethodDelete
	}
	if refusal := policy.RefusedByLocks(request, locks.Items, groups.Items); refusal != nil {
		return Errorf(http.StatusConflict, policy.CodeScopeLocked, "%s", refusal.Message())
	}
	return nil
}

// scope is the id of what a request is about: its path without the action that a POST
// ends in. Its words are the route's own, so that no spelling of them passes a lock.
func (r *Request) scope(route *Route) string {
	segments := route.segments
	if r.Method == http.MethodPost {
		segments = segments[:len(segments)-1]
	}
	var id strings.Builder
	for _, segment := range segments {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			segment = r.Parameter(strings.TrimSuffix(name, "}"))
		}
		id.WriteString("/" + segment)
	}
	return id.String()
}
