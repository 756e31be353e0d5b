package eventgrid

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

const (
	subscriptionPath = "/subscriptions/{subscription}"
	groupPath        = subscriptionPath + "/resourceGroups/{group}"
	clusterType      = "Microsoft.ContainerService/managedClusters"
	clusterPath      = groupPath + "/providers/" + clusterType + "/{cluster}"
)

// scope is something whose events can be had.
type scope struct {
	// id is its ARM id, in the casing that it was made with.
	id string
	// object is what its event subscriptions are deleted with, nil for a subscription.
	object client.Object
}

// find reads the scope that a request names, or says that it does not exist.
type find func(p provider, ctx context.Context, r *arm.Request) (scope, error)

// scopes are what can have event subscriptions. A list of the first two has those of what
// is below too, which are not those of a location.
var scopes = []struct {
	path  string
	find  find
	below bool
}{
	{subscriptionPath, provider.subscription, true},
	{groupPath, provider.group, true},
	{clusterPath, provider.cluster, false},
}

func (p provider) subscription(_ context.Context, r *arm.Request) (scope, error) {
	return scope{id: r.SubscriptionPath()}, nil
}

func (p provider) group(ctx context.Context, r *arm.Request) (scope, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return scope{}, err
	}
	return scope{policy.GroupID(group), group}, nil
}

func (p provider) cluster(ctx context.Context, r *arm.Request) (scope, error) {
	group, err := p.group(ctx, r)
	if err != nil {
		return scope{}, err
	}
	cluster, name := &v1beta1.ManagedCluster{}, r.Parameter("cluster")
	key := client.ObjectKey{Namespace: r.Namespace(), Name: v1beta1.ObjectName(r.Parameter("group"), name)}
	err = p.APIReader.Get(ctx, key, cluster)
	if apierrors.IsNotFound(err) || err == nil && !strings.EqualFold(cluster.Spec.Name, name) {
		return scope{}, arm.ResourceNotFound(clusterType, name, r.Parameter("group"))
	}
	if err != nil {
		return scope{}, fmt.Errorf("read cluster %s: %w", key, err)
	}
	return scope{group.id + "/providers/" + clusterType + "/" + cluster.Spec.Name, cluster}, nil
}
