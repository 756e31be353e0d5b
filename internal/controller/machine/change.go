package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// sumOf is a short sum of labels with their values.
func sumOf(labels map[string]string) string {
	sum := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(sum, "%s=%s\n", key, labels[key])
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// changedBy finds what somebody else did to the system's labels of a Node (B4): they
// are not what the service put there, and it still wants the same. A Node that the
// service has not marked yet, or marks otherwise now, tells nothing. Labels of the pool
// and of the customer, taints and annotations do not count.
func changedBy(node *corev1.Node, system map[string]string) *v1beta1.MetadataChange {
	var record recorded
	if json.Unmarshal([]byte(node.Annotations[annotationMarks]), &record) != nil || record.System != sumOf(system) {
		return nil
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(system)) {
		if value, ok := node.Labels[key]; !ok || value != system[key] {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return &v1beta1.MetadataChange{Labels: keys, Manager: managerOf(node, keys)}
}

// managerOf is the field manager that owns one of the labels or, as nobody owns what
// was removed, that wrote the Node last.
func managerOf(node *corev1.Node, keys []string) string {
	last := metav1.ManagedFieldsEntry{}
	for _, entry := range node.ManagedFields {
		if entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		for _, key := range keys {
			if _, there := node.Labels[key]; there && strings.Contains(entry.FieldsV1.GetRawString(), `"f:`+key+`":`) {
				return entry.Manager
			}
		}
		if last.Time == nil || entry.Time != nil && last.Time.Before(entry.Time) {
			last = entry
		}
	}
	return last.Manager
}

// noteChange writes down what was changed, before it is put back.
func (r *Reconciler) noteChange(ctx context.Context, s *scene) error {
	change := changedBy(s.node, systemLabels(s.object, s.cluster.Spec))
	if change == nil {
		return nil
	}
	change.Time = metav1.NewTime(r.Now())
	s.object.Status.ChangedMetadata = change
	if err := r.client.Status().Update(ctx, s.object); err != nil {
		return fmt.Errorf("note what was changed on node %s: %w", s.ref.Name, err)
	}
	return nil
}
