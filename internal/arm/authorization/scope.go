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
	poolType     = arm.ClusterType + "/agentPools"
	poolPath     = arm.ClusterRoute + "/agentPools/{pool}"
	snapshotType = "Microsoft.ContainerService/snapshots"
	snapshotPath = arm.GroupRoute + "/providers/" + snapshotType + "/{snapshot}"
	scaleSetType = "Microsoft.Compute/virtualMachineScaleSets"
	scaleSetPath = arm.GroupRoute + "/providers/" + scaleSetType + "/{scaleSet}"
)

// lockable is what locks can be at.
type lockable struct {
	path string
	find arm.Find
}

func (p provider) lockables() []lockable {
	return []lockable{
		{arm.SubscriptionRoute, p.SubscriptionTarget},
		{arm.GroupRoute, p.GroupTarget},
		{arm.ClusterRoute, p.ClusterTarget},
		{poolPath, p.pool},
		{snapshotPath, p.snapshot},
		{scaleSetPath, p.scaleSet},
	}
}

func (p provider) pool(ctx context.Context, r *arm.Request) (arm.Target, error) {
	cluster, err := p.ClusterTarget(ctx, r)
	if err != nil {
		return arm.Target{}, err
	}
	pool := &v1beta1.AgentPool{}
	name := r.Parameter("pool")
	there, err := p.ReadInGroup(ctx, r, pool, r.Parameter("cluster"), name)
	if err == nil && (!there || !strings.EqualFold(pool.Spec.Name, name)) {
		err = arm.ResourceNotFound(poolType, r.Parameter("cluster")+"/"+name, r.Parameter("group"))
	}
	return arm.Target{ID: cluster.ID + "/agentPools/" + pool.Spec.Name, Object: pool}, err
}

func (p provider) snapshot(ctx context.Context, r *arm.Request) (arm.Target, error) {
	group, err := p.GroupTarget(ctx, r)
	if err != nil {
		return arm.Target{}, err
	}
	snapshot := &v1beta1.Snapshot{}
	name := r.Parameter("snapshot")
	there, err := p.ReadInGroup(ctx, r, snapshot, name)
	if err == nil && (!there || !strings.EqualFold(snapshot.Spec.Name, name)) {
		err = arm.ResourceNotFound(snapshotType, name, r.Parameter("group"))
	}
	return arm.Target{ID: group.ID + "/providers/" + snapshotType + "/" + snapshot.Spec.Name, Object: snapshot}, err
}

// scaleSet finds the pool whose scale set a node resource group shows (G1).
func (p provider) scaleSet(ctx context.Context, r *arm.Request) (arm.Target, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return arm.Target{}, err
	}
	missing := arm.ResourceNotFound(scaleSetType, r.Parameter("scaleSet"), group.Spec.Name)
	name, ok := policy.ClusterOfGroup(group)
	if !ok {
		return arm.Target{}, missing
	}
	var cluster v1beta1.ManagedCluster
	if err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: r.Namespace(), Name: name}, &cluster); err != nil {
		if apierrors.IsNotFound(err) {
			return arm.Target{}, missing
		}
		return arm.Target{}, fmt.Errorf("read cluster %s: %w", name, err)
	}
	var pools v1beta1.AgentPoolList
	if err := p.APIReader.List(ctx, &pools, client.InNamespace(r.Namespace())); err != nil {
		return arm.Target{}, fmt.Errorf("list agent pools: %w", err)
	}
	for i := range pools.Items {
		pool := &pools.Items[i]
		set := machine.ScaleSet(pool.Spec.Name, cluster.Spec.ID)
		if v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName) == name && strings.EqualFold(set, r.Parameter("scaleSet")) {
			return arm.Target{ID: policy.GroupID(group) + "/providers/" + scaleSetType + "/" + set, Object: pool}, nil
		}
	}
	return arm.Target{}, missing
}
