package rollout

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy/maintenance"
	"berth.dev/berth/internal/policy/rollout"
)

// opens says of the clusters with a closed window in their maintenance configuration default
// when it opens (AKS: planned-maintenance).
func (r *reconciler) opens(ctx context.Context, reader client.Reader) (map[types.UID]time.Time, error) {
	var list v1beta1.MaintenanceConfigurationList
	if err := reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list maintenance configurations: %w", err)
	}
	found, now := map[types.UID]time.Time{}, r.Now()
	for i := range list.Items {
		config := &list.Items[i]
		owner := metav1.GetControllerOf(config)
		if config.Spec.Name != v1beta1.MaintenanceDefault || owner == nil || !config.DeletionTimestamp.IsZero() {
			continue
		}
		calendar, wrong := maintenance.New(&config.Spec, config.CreationTimestamp.Time, operation.Saved(config))
		if len(wrong) > 0 { // admission lets none in; it must not hold all clusters up
			log.FromContext(ctx).Info("a maintenance configuration is left out", "namespace", config.Namespace, "name", config.Name, "error", wrong[0])
			continue
		}
		window, some := calendar.Find(now)
		switch {
		case !some:
			found[owner.UID] = rollout.Never
		case !window.Open(now):
			found[owner.UID] = window.Start
		}
	}
	return found, nil
}
