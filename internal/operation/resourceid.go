package operation

import (
	"fmt"
	"strings"

	"berth.dev/berth/api/v1beta1"
)

// ClusterID is the ARM id of a cluster, in the customer's casing.
func ClusterID(cluster *v1beta1.ManagedCluster) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.ContainerService/managedClusters/%s",
		strings.TrimPrefix(cluster.Namespace, v1beta1.SubscriptionNamespace("")), cluster.Spec.ResourceGroup, cluster.Spec.Name)
}
