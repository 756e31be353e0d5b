package autoupgrade

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// report applies status.autoUpgrades, as a field manager of its own, if it is news.
// What was decided on something older is refused as a conflict.
func (r *reconciler) report(ctx context.Context, cluster *v1beta1.ManagedCluster, next []v1beta1.AutoUpgradeStatus) error {
	if equality.Semantic.DeepEqual(cluster.Status.AutoUpgrades, next) {
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&struct {
		AutoUpgrades []v1beta1.AutoUpgradeStatus `json:"autoUpgrades,omitempty"`
	}{next})
	if err != nil {
		return fmt.Errorf("convert status: %w", err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	object.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("ManagedCluster"))
	object.SetNamespace(cluster.Namespace)
	object.SetName(cluster.Name)
	// The uid keeps the apply from writing to a namesake made meanwhile, the
	// resourceVersion from undoing what a newer status says of a run.
	object.SetUID(cluster.UID)
	object.SetResourceVersion(cluster.ResourceVersion)
	err = r.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(statusOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}
