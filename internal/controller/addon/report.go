package addon

import (
	"context"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controller/apply"
)

// outcome is how a pass went.
type outcome struct {
	err error
	// images are those that were applied, if there is no error.
	images map[string]string
	// missing says which of them do not run yet; empty if all do.
	missing   string
	contested string
}

// report applies the conditions, the version and the images as a field manager of its own, so that
// it never touches what the cluster controller writes.
func (r *reconciler) report(ctx context.Context, cluster *v1beta1.ManagedCluster, o outcome) error {
	version, images := cluster.Status.AddonsVersion, cluster.Status.AddonsImages
	if o.err == nil {
		version, images = cluster.Status.ComponentsVersion(), o.images
	}
	next := conditions(cluster, o, r.Now())
	same := version == cluster.Status.AddonsVersion && maps.Equal(images, cluster.Status.AddonsImages)
	for i := range next {
		last := meta.FindStatusCondition(cluster.Status.Conditions, next[i].Type)
		if last != nil && last.Status == next[i].Status {
			next[i].LastTransitionTime = last.LastTransitionTime
		}
		same = same && last != nil && *last == next[i]
	}
	ended := o.contested == "" && meta.FindStatusCondition(cluster.Status.Conditions, v1beta1.ConditionAddonsContested) != nil
	if same && !ended {
		return nil
	}
	return apply.Status(ctx, r.client, cluster, statusOwner, &struct {
		Conditions    []metav1.Condition `json:"conditions"`
		AddonsVersion string             `json:"addonsVersion,omitempty"`
		AddonsImages  map[string]string  `json:"addonsImages,omitempty"`
	}{next, version, images}, "")
}

// conditions say how applying went, whether the components run, and what is contested, if
// anything is.
func conditions(cluster *v1beta1.ManagedCluster, o outcome, now time.Time) []metav1.Condition {
	all := []metav1.Condition{
		{Type: v1beta1.ConditionAddonsApplied, Status: metav1.ConditionTrue, Reason: "Applied"},
		{Type: v1beta1.ConditionAddonsReady, Status: metav1.ConditionTrue, Reason: "Ready"},
	}
	applied, ready := &all[0], &all[1]
	switch {
	case o.err != nil:
		applied.Status, applied.Reason, applied.Message = metav1.ConditionFalse, "ApplyFailed", o.err.Error()
		ready.Status, ready.Reason, ready.Message = metav1.ConditionUnknown, "ApplyFailed", o.err.Error()
	case o.missing != "":
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, "NotReady", o.missing
	}
	if o.contested != "" {
		all = append(all, metav1.Condition{Type: v1beta1.ConditionAddonsContested, Status: metav1.ConditionTrue, Reason: "PutBackDelayed", Message: o.contested})
	}
	for i := range all {
		all[i].ObservedGeneration, all[i].LastTransitionTime = cluster.Generation, metav1.NewTime(now)
	}
	return all
}
