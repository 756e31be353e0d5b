package operation

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// Attach makes a maintenance configuration its cluster's: it is found by its
// labels and deleted with it.
func Attach(config *v1beta1.MaintenanceConfiguration, cluster *v1beta1.ManagedCluster) {
	config.Labels = merged(config.Labels, map[string]string{
		v1beta1.LabelCluster:       LabelValue(cluster.Name),
		v1beta1.LabelResourceGroup: LabelValue(v1beta1.ObjectName(cluster.Spec.ResourceGroup)),
	})
	config.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(cluster, v1beta1.GroupVersion.WithKind("ManagedCluster"))}
}

// MarkSaved notes when a configuration was last changed.
func MarkSaved(config *v1beta1.MaintenanceConfiguration, now time.Time) {
	config.Annotations = merged(config.Annotations, map[string]string{v1beta1.AnnotationSaved: now.UTC().Format(time.RFC3339)})
}

// Saved is when a configuration was last changed, or created if nobody noted it.
func Saved(config *v1beta1.MaintenanceConfiguration) time.Time {
	at, err := time.Parse(time.RFC3339, config.Annotations[v1beta1.AnnotationSaved])
	if err != nil {
		return config.CreationTimestamp.Time
	}
	return at
}
