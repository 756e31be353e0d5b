package arm

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// The paths of what extension resources are at.
const (
	SubscriptionRoute = "/subscriptions/{subscription}"
	GroupRoute        = SubscriptionRoute + "/resourceGroups/{group}"
	ClusterType       = "Microsoft.ContainerService/managedClusters"
	ClusterRoute      = GroupRoute + "/providers/" + ClusterType + "/{cluster}"
)

// Target is what an extension resource, such as a lock, is at: its scope.
type Target struct {
	// ID is its ARM id, in the casing that it was made with.
	ID string
	// Object is what the extension resource is deleted with, nil for a subscription.
	Object client.Object
}

// Find reads the target that a request names, or says that it does not exist.
type Find func(ctx context.Context, r *Request) (Target, error)

// RefuseDeleting refuses to put something new at what is being deleted.
func (t Target) RefuseDeleting() error {
	if t.Object == nil || t.Object.GetDeletionTimestamp().IsZero() {
		return nil
	}
	return PendingOperation(lastSegment(t.ID), string(v1beta1.StateDeleting))
}

// SubscriptionTarget is a Find.
func (s *Server) SubscriptionTarget(_ context.Context, r *Request) (Target, error) {
	return Target{ID: r.SubscriptionPath()}, nil
}

// GroupTarget is a Find.
func (s *Server) GroupTarget(ctx context.Context, r *Request) (Target, error) {
	group, err := s.Group(ctx, r)
	if err != nil {
		return Target{}, err
	}
	return Target{policy.GroupID(group), group}, nil
}

// ClusterTarget is a Find.
func (s *Server) ClusterTarget(ctx context.Context, r *Request) (Target, error) {
	group, err := s.GroupTarget(ctx, r)
	if err != nil {
		return Target{}, err
	}
	cluster, name := &v1beta1.ManagedCluster{}, r.Parameter("cluster")
	there, err := s.ReadInGroup(ctx, r, cluster, name)
	if err == nil && (!there || !strings.EqualFold(cluster.Spec.Name, name)) {
		err = ResourceNotFound(ClusterType, name, r.Parameter("group"))
	}
	return Target{group.ID + "/providers/" + ClusterType + "/" + cluster.Spec.Name, cluster}, err
}

// ReadInGroup reads what the names below the request's group name, and says whether it is
// there. The name of an object may be that of another resource: the caller compares.
func (s *Server) ReadInGroup(ctx context.Context, r *Request, object client.Object, names ...string) (bool, error) {
	key := client.ObjectKey{Namespace: r.Namespace(), Name: v1beta1.ObjectName(append([]string{r.Parameter("group")}, names...)...)}
	err := s.APIReader.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	return true, nil
}
