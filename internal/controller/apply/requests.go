package apply

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"berth.dev/berth/api/v1beta1"
)

// AllClusters has every cluster looked at when something changes that they all depend
// on, such as the ServicePolicy.
func AllClusters(reader client.Reader) handler.MapFunc {
	return func(ctx context.Context, _ client.Object) []reconcile.Request {
		var clusters v1beta1.ManagedClusterList
		if err := reader.List(ctx, &clusters); err != nil {
			log.FromContext(ctx).Error(err, "clusters not listed")
			return nil
		}
		requests := make([]reconcile.Request, 0, len(clusters.Items))
		for i := range clusters.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&clusters.Items[i])})
		}
		return requests
	}
}

// ClusterOfPool has a pool's cluster looked at when the pool changes.
func ClusterOfPool(_ context.Context, object client.Object) []reconcile.Request {
	pool, ok := object.(*v1beta1.AgentPool)
	if !ok {
		return nil
	}
	name := v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName)
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: pool.Namespace, Name: name}}}
}
