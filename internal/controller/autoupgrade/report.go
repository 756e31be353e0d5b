package autoupgrade

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controller/apply"
)

// report applies status.autoUpgrades, as a field manager of its own, if it is news.
// What was decided on something older is refused as a conflict.
func (r *reconciler) report(ctx context.Context, cluster *v1beta1.ManagedCluster, next []v1beta1.AutoUpgradeStatus) error {
	if equality.Semantic.DeepEqual(cluster.Status.AutoUpgrades, next) {
		return nil
	}
	// The resourceVersion keeps the apply from undoing what a newer status says of a run.
	return apply.Status(ctx, r.client, cluster, statusOwner, &struct {
		AutoUpgrades []v1beta1.AutoUpgradeStatus `json:"autoUpgrades,omitempty"`
	}{next}, cluster.ResourceVersion)
}
