package authorization

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
)

const (
	subscriptionPath = "/subscriptions/{subscription}"
	groupPath        = subscriptionPath + "/resourceGroups/{group}"
	clusterType      = "Microsoft.ContainerService/managedClusters"
	clusterPath      = groupPath + "/providers/" + clusterType + "/{cluster}"
	poolType         = clusterType + "/agentPools"
	poolPath         = clusterPath + "/agentPools/{pool}"
	snapshotType     = "Microsoft.ContainerService/snapshots"
	snapshotPath     = groupPath + "/providers/" + snapshotType + "/{snapshot}"
	scaleSetType     = "Microsoft.Compute/virtualMachineScaleSets"
	scaleSetPath     = groupPath + "/providers/" + scaleSetType + "/{scaleSet}"
)

// scope is something that can be locked.
type scope struct {
	// id is its ARM id, in the casing that it was made with.
	id string
	// object is what a lock at the scope is deleted with, nil for a subscription.
	object client.Object
}

// find reads the scope that a request names, or says that it does not exist.
type find func(p provider, ctx context.Context, r *arm.Request) (scope, error)

// lockable are the scopes that locks can be at.
var lockable = []struct {
	path string
	find find
}{
	{subscriptionPath, provider.subscription},
	{groupPath, provider.group},
	{clusterPath, provider.cluster},
	{poolPath, provider.pool},
	{snapshotPath, provider.snapshot},
	{scaleSetPath, provider.scaleSet},
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
	cluster := &v1beta1.ManagedCluster{}
	name := r.Parameter("cluster")
	there, err := p.read(ctx, r, cluster, name)
	if err == nil && (!there || !strings.EqualFold(cluster.Spec.Name, name)) {
		err = arm.ResourceNotFound(clusterType, name, r.Parameter("group"))
	}
	return scope{group.id + "/providers/" + clusterType + "/" + cluster.Spec.Name, cluster}, err
}

func (p provider) pool(ctx context.Context, r *arm.Request) (scope, error) {
	cluster, err := p.cluster(ctx, r)
	if err != nil {
		return scope{}, err
	}
	pool := &v1beta1.AgentPool{}
	name := r.Parameter("pool")
	there, err := p.read(ctx, r, pool, r.Parameter("cluster"), name)
	if err == nil && (!there || !strings.EqualFold(pool.Spec.Name, name)) {
		err = arm.ResourceNotFound(poolType, r.Parameter("cluster")+"/"+name, r.Parameter("group"))
	}
	return scope{cluster.id + "/agentPools/" + pool.Spec.Name, pool}, err
}

func (p provider) snapshot(ctx context.Context, r *arm.Request) (scope, error) {
	group, err := p.group(ctx, r)
	if err != nil {
		return scope{}, err
	}
	snapshot := &v1beta1.Snapshot{}
	name := r.Parameter("snapshot")
	there, err := p.read(ctx, r, snapshot, name)
	if err == nil && (!there || !strings.EqualFold(snapshot.Spec.Name, name)) {
		err = arm.ResourceNotFound(snapshotType, name, r.Parameter("group"))
	}
	return scope{group.id + "/providers/" + snapshotType + "/" + snapshot.Spec.Name, snapshot}, err
}

// scaleSet finds the pool whose scale set a node resource group shows (G1).
func (p provider) scaleSet(ctx context.Context, r *arm.Request) (scope, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return scope{}, err
	}
	missing := arm.ResourceNotFound(scaleSetType, r.Parameter("scaleSet"), group.Spec.Name)
	name, ok := policy.ClusterOfGroup(group)
	if !ok {
		return scope{}, missing
	}
	var cluster v1beta1.ManagedCluster
	if err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: r.Namespace(), Name: name}, &cluster); err != nil {
		if apierrors.IsNotFound(err) {
			return scope{}, missing
		}
		return scope{}, fmt.Errorf("read cluster %s: %w", name, err)
	}
	var pools v1beta1.AgentPoolList
	if err := p.APIReader.List(ctx, &pools, client.InNamespace(r.Namespace())); err != nil {
		return scope{}, fmt.Errorf("list agent pools: %w", err)
	}
	for i := range pools.Items {
		pool := &pools.Items[i]
		set := machine.ScaleSet(pool.Spec.Name, cluster.Spec.ID)
		if v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName) == name && strings.EqualFold(set, r.Parameter("scaleSet")) {
			return scope{policy.GroupID(group) + "/providers/" + scaleSetType + "/" + set, pool}, nil
		}
	}
	return scope{}, missing
}

// read reads what the names below the request's group name, and says whether it is there.
func (p provider) read(ctx context.Context, r *arm.Request, object client.Object, names ...string) (bool, error) {
	key := client.ObjectKey{Namespace: r.Namespace(), Name: v1beta1.ObjectName(append([]string{r.Parameter("group")}, names...)...)}
	err := p.APIReader.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	return true, nil
}
