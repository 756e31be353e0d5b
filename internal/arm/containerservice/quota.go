package containerservice

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

// holdings are all clusters of a subscription and what their pools ask for.
func (p provider) holdings(ctx context.Context, r *arm.Request) ([]v1beta1.ManagedCluster, []v1beta1.AgentPoolSpec, error) {
	var clusters v1beta1.ManagedClusterList
	var pools v1beta1.AgentPoolList
	for _, list := range []client.ObjectList{&clusters, &pools} {
		if err := p.APIReader.List(ctx, list, client.InNamespace(r.Namespace())); err != nil {
			return nil, nil, fmt.Errorf("list clusters and pools: %w", err)
		}
	}
	specs := make([]v1beta1.AgentPoolSpec, 0, len(pools.Items))
	for i := range pools.Items {
		specs = append(specs, pools.Items[i].Spec)
	}
	return clusters.Items, specs, nil
}

func (p provider) quotas(ctx context.Context, r *arm.Request) (policy.QuotaPlan, error) {
	var service v1beta1.ServicePolicy
	if err := p.Client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return policy.QuotaPlan{}, fmt.Errorf("read service policy: %w", err)
	}
	return policy.Quotas(service.Spec, r.Subscription.Spec.Quotas), nil
}

// refuseQuota refuses a request that makes a cluster, or pools of it, where that is more
// than the subscription can have. Requests at the same moment may each find room.
func (p provider) refuseQuota(ctx context.Context, r *arm.Request, spec *v1beta1.ManagedClusterSpec, pools []v1beta1.AgentPoolProfile) error {
	plan, err := p.quotas(ctx, r)
	if err != nil {
		return err
	}
	clusters, has, err := p.holdings(ctx, r)
	if err != nil {
		return err
	}
	name := v1beta1.ObjectName(spec.ResourceGroup, spec.Name)
	now := policy.UsageOf(clusters, has, name)
	wanted := slices.DeleteFunc(slices.Clone(has), func(pool v1beta1.AgentPoolSpec) bool {
		return v1beta1.ObjectName(pool.ResourceGroup, pool.ClusterName) == name &&
			slices.ContainsFunc(pools, func(profile v1beta1.AgentPoolProfile) bool { return profile.Name == pool.Name })
	})
	next := policy.UsageOf(clusters, append(wanted, poolSpecs(spec, pools)...), name)
	if !slices.ContainsFunc(clusters, func(cluster v1beta1.ManagedCluster) bool { return cluster.Name == name }) {
		next.Clusters++
	}
	tier := v1beta1.TierFree
	if spec.SKU != nil {
		tier = spec.SKU.Tier
	}
	if found := plan.Refuse(now, next, tier); len(found) > 0 {
		return arm.Refusal(found)
	}
	return nil
}

// usages lists what a subscription has of what it can have, in all locations together.
func (p provider) usages(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	location, err := p.CheckLocation(ctx, r.Parameter("location"), namespace+"/locations/usages")
	if err != nil {
		return nil, err
	}
	plan, err := p.quotas(ctx, r)
	if err != nil {
		return nil, err
	}
	clusters, pools, err := p.holdings(ctx, r)
	if err != nil {
		return nil, err
	}
	use := policy.UsageOf(clusters, pools, "")
	item := func(name, words string, current, limit int) arm.Item {
		return arm.Item{Key: name, Body: map[string]any{
			"id":   r.SubscriptionPath() + "/providers/" + namespace + "/locations/" + location + "/usages/" + name,
			"name": map[string]any{"value": name, "localizedValue": words}, "currentValue": current, "limit": limit, "unit": "Count",
		}}
	}
	items := []arm.Item{item("ManagedClusters", "Managed clusters", use.Clusters, plan.Clusters)}
	if plan.Cores != nil {
		items = append(items, item("cores", "Total vCPUs of nodes", use.Cores, *plan.Cores))
	}
	return p.Page(r, items)
}
