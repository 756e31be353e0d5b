package arm

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// checkDenied refuses to change anything in the node resource group of a cluster that
// has it read-only (AKS: node-resource-group-lockdown). Azure does so by a deny
// assignment, whose code this is. It reads no cache.
func (s *Server) checkDenied(ctx context.Context, route *Route, r *Request) error {
	if r.Subscription == nil || !route.writes() || r.Parameter("group") == "" {
		return nil
	}
	group, err := s.FindGroup(ctx, r, r.Parameter("group"))
	if err != nil || group == nil {
		return err
	}
	name, ok := policy.ClusterOfGroup(group)
	if !ok {
		return nil
	}
	var cluster v1beta1.ManagedCluster
	err = s.APIReader.Get(ctx, client.ObjectKey{Namespace: group.Namespace, Name: name}, &cluster)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read cluster of resource group %s: %w", group.Spec.Name, err)
	case !policy.NodeGroupReadOnly(cluster.Spec):
		return nil
	}
	return Errorf(http.StatusForbidden, "DenyAssignmentAuthorizationFailed",
		"The client '%s' may perform %s on scope '%s', but access is denied by the deny assignment of cluster '%s': its nodeResourceGroupProfile.restrictionLevel is ReadOnly. Change the cluster's node pools instead, or set the level to Unrestricted.",
		r.Caller.Name(), r.Method, r.scope(route), cluster.Spec.Name)
}
