package cluster

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

// deleteMaintenance removes the cluster's maintenance configurations, so that a
// new cluster of the same name finds none. One that is written at this very moment
// is collected for its owner reference.
func (r *reconciler) deleteMaintenance(ctx context.Context, p *pass) (bool, error) {
	windows, err := r.maintenanceOf(ctx, p.cluster)
	if err != nil {
		return false, err
	}
	for i := range windows {
		if err := r.client.Delete(ctx, &windows[i]); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("delete maintenance configuration %s: %w", windows[i].Spec.Name, err)
		}
	}
	return true, nil
}

func (r *reconciler) maintenanceOf(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]v1beta1.MaintenanceConfiguration, error) {
	var list v1beta1.MaintenanceConfigurationList
	selector := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
	if err := r.reader.List(ctx, &list, client.InNamespace(cluster.Namespace), selector); err != nil {
		return nil, fmt.Errorf("list maintenance configurations: %w", err)
	}
	return list.Items, nil
}
