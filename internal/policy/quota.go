package policy

import (
	"strings"

	"berth.dev/berth/api/v1beta1"
)

// AKS's limits (quotas-skus-regions, free-standard-pricing-tiers).
const (
	DefaultClusters        = 5000
	DefaultNodesPerCluster = 5000
	freeNodesPerCluster    = 1000
)

// QuotaPlan is what a subscription can have.
type QuotaPlan struct {
	Clusters, NodesPerCluster int
	// Cores is how many vCPUs its nodes can have; nil is no limit.
	Cores *int
}

// Quotas reads the quotas of a subscription, and ServicePolicy for what it has none of.
func Quotas(spec v1beta1.ServicePolicySpec, own *v1beta1.Quotas) QuotaPlan {
	plan := QuotaPlan{Clusters: DefaultClusters, NodesPerCluster: DefaultNodesPerCluster}
	for _, set := range []*v1beta1.Quotas{spec.Quotas, own} {
		if set == nil {
			continue
		}
		if set.Clusters != nil {
			plan.Clusters = int(*set.Clusters)
		}
		if set.NodesPerCluster != nil {
			plan.NodesPerCluster = int(*set.NodesPerCluster)
		}
		if set.Cores != nil {
			cores := int(*set.Cores)
			plan.Cores = &cores
		}
	}
	return plan
}

// Usage is what a subscription has: its clusters, the nodes of the cluster that is looked
// at, and the vCPUs of all nodes.
type Usage struct{ Clusters, Nodes, Cores int }

// UsageOf counts the clusters of a subscription and the nodes that their pools ask for,
// running or stopped (Azure: what is deallocated counts). Cluster is the object name of
// the one whose nodes are counted by themselves.
func UsageOf(clusters []v1beta1.ManagedCluster, pools []v1beta1.AgentPoolSpec, cluster string) Usage {
	use := Usage{Clusters: len(clusters)}
	for i := range pools {
		pool := &pools[i]
		nodes := 0
		if pool.Count != nil {
			nodes = int(*pool.Count)
		}
		size, _ := FindVMSize(pool.VMSize)
		use.Cores += nodes * size.CPUs
		if v1beta1.ObjectName(pool.ResourceGroup, pool.ClusterName) == cluster {
			use.Nodes += nodes
		}
	}
	return use
}

// Refuse returns every quota that a request would exceed. What does not grow is never
// refused: a quota that was lowered below what there is keeps nobody from having less.
func (q QuotaPlan) Refuse(now, next Usage, tier string) []Violation {
	var out violations
	nodes := q.NodesPerCluster
	if strings.EqualFold(tier, v1beta1.TierFree) {
		nodes = min(nodes, freeNodesPerCluster)
	}
	check := func(code, what, target string, limit, now, next int) {
		if next > now && next > limit {
			out.add(code, target, "Operation could not be completed as it results in exceeding quota limits of %s. Maximum allowed: %d, Current in use: %d, Additional requested: %d", what, limit, now, next-now)
		}
	}
	check(CodeClusterCount, "managed clusters", "", q.Clusters, now.Clusters, next.Clusters)
	check(CodeQuotaExceeded, "nodes of a managed cluster", "agentPoolProfile.count", nodes, now.Nodes, next.Nodes)
	if q.Cores != nil {
		check(CodeQuotaExceeded, "Core", "agentPoolProfile.count", *q.Cores, now.Cores, next.Cores)
	}
	return out
}
