package rollout

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy/maintenance"
)

// never is when a window opens of which there is none in sight.
const never = 10 * 366 * 24 * time.Hour

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
		if len(wrong) > 0 {
			return nil, fmt.Errorf("maintenance configuration %s: %w", config.Name, wrong[0])
		}
		window, some := calendar.Find(now)
		switch {
		case !some:
			found[owner.UID] = now.Add(never)
		case !window.Open(now):
			found[owner.UID] = window.Start
		}
	}
	return found, nil
}
