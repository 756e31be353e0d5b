package operation

import (
	"fmt"
	"strings"

	"berth.dev/berth/api/v1beta1"
)

// ClusterID is the ARM id of a cluster, in the customer's casing, as all that follow.
func ClusterID(cluster *v1beta1.ManagedCluster) string {
	return resourceID(cluster.Namespace, cluster.Spec.ResourceGroup, "managedClusters", cluster.Spec.Name)
}

// PoolID is the ARM id of an agent pool.
func PoolID(pool *v1beta1.AgentPool) string {
	return resourceID(pool.Namespace, pool.Spec.ResourceGroup, "managedClusters", pool.Spec.ClusterName) + "/agentPools/" + pool.Spec.Name
}

// SnapshotID is the ARM id of a snapshot.
func SnapshotID(snapshot *v1beta1.Snapshot) string {
	return resourceID(snapshot.Namespace, snapshot.Spec.ResourceGroup, "snapshots", snapshot.Spec.Name)
}

func resourceID(namespace, group, kind, name string) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.ContainerService/%s/%s",
		strings.TrimPrefix(namespace, v1beta1.SubscriptionNamespace("")), group, kind, name)
}
