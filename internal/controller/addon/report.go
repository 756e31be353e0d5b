package addon

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controller/apply"
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
	return apply.Status(ctx, r.client, cluster, statusOwner, &struct {
		Conditions    []metav1.Condition `json:"conditions"`
		AddonsVersion string             `json:"addonsVersion,omitempty"`
	}{[]metav1.Condition{next}, version}, "")
}
