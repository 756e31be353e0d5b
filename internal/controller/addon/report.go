package addon

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// report applies the one condition and the version as a field manager of its own,
// so that it never touches what the cluster controller writes.
func (r *reconciler) report(ctx context.Context, cluster *v1beta1.ManagedCluster, applyErr error) error {
	next := condition(cluster, applyErr, r.Now())
	version := cluster.Status.AddonsVersion
	if applyErr == nil {
		version = cluster.Status.ComponentsVersion()
	}
	last := meta.FindStatusCondition(cluster.Status.Conditions, next.Type)
	if last != nil && last.Status == next.Status {
		next.LastTransitionTime = last.LastTransitionTime
		if *last == next && version == cluster.Status.AddonsVersion {
			return nil
		}
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&struct {
		Conditions    []metav1.Condition `json:"conditions"`
		AddonsVersion string             `json:"addonsVersion,omitempty"`
	}{[]metav1.Condition{next}, version})
	if err != nil {
		return fmt.Errorf("convert condition: %w", err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	object.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("ManagedCluster"))
	object.SetNamespace(cluster.Namespace)
	object.SetName(cluster.Name)
	object.SetUID(cluster.UID)
	err = r.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(statusOwner), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write condition %s: %w", next.Type, err)
	}
	return nil
}
