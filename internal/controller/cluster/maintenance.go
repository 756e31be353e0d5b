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
	selector := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(p.cluster.Name)}
	var list v1beta1.MaintenanceConfigurationList
	if err := r.reader.List(ctx, &list, client.InNamespace(p.cluster.Namespace), selector); err != nil {
		return false, fmt.Errorf("list maintenance configurations: %w", err)
	}
	for i := range list.Items {
		if err := r.client.Delete(ctx, &list.Items[i]); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("delete maintenance configuration %s: %w", list.Items[i].Spec.Name, err)
		}
	}
	return true, nil
}
