package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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

// dataOf tells what a cluster's etcd holds from what it held before it was put back: its
// Nodes are then as they were, and nobody changed them.
func dataOf(cluster *v1beta1.ManagedCluster) string {
	var parts []string
	if recovery := cluster.Status.Recovery; recovery != nil {
		parts = append(parts, recovery.ID)
	}
	if up := cluster.Status.Upgrade; up != nil {
		switch up.Phase {
		case v1beta1.UpgradeRollBack, v1beta1.UpgradeRestore, v1beta1.UpgradeFailed:
			parts = append(parts, fmt.Sprintf("%s-%d", up.To, up.StartTime.Unix()))
		}
	}
	return strings.Join(parts, " ")
}

// changedBy finds what somebody else did to the system's labels of a Node, and to its
// record there (B4): they are not what the service put there as far as it knows itself,
// and it still wants the same labels. A Node that it has not marked yet, or that a backup
// put back, tells nothing. Labels of the pool and of the customer, their annotations and
// taints do not count.
func changedBy(node *corev1.Node, marked *v1beta1.NodeMarks, system map[string]string, data string) *v1beta1.MetadataChange {
	if marked == nil || marked.Node != node.UID || marked.Data != data {
		return nil
	}
	change := &v1beta1.MetadataChange{}
	if marked.System == sumOf(system) {
		for _, key := range slices.Sorted(maps.Keys(system)) {
			if value, ok := node.Labels[key]; !ok || value != system[key] {
				change.Labels = append(change.Labels, key)
			}
		}
	}
	if node.Annotations[annotationMarks] != marked.Record {
		change.Annotations = []string{annotationMarks}
	}
	if len(change.Labels)+len(change.Annotations) == 0 {
		return nil
	}
	change.Manager = managerOf(node, slices.Concat(change.Labels, change.Annotations))
	return change
}

// managerOf is the field manager that owns one of the labels and annotations or, as nobody
// owns what was removed, that wrote the Node last.
func managerOf(node *corev1.Node, keys []string) string {
	last := metav1.ManagedFieldsEntry{}
	for _, entry := range node.ManagedFields {
		if entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		for _, key := range keys {
			_, label := node.Labels[key]
			_, annotation := node.Annotations[key]
			if (label || annotation) && strings.Contains(entry.FieldsV1.GetRawString(), `"f:`+key+`":`) {
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
	status := s.object.Status.DeepCopy()
	change := changedBy(s.node, status.Marked, systemLabels(s.object, s.cluster.Spec), dataOf(s.cluster))
	if change == nil {
		return nil
	}
	change.Time, change.Pending = metav1.NewTime(r.Now()), true
	if change = withEarlier(status.ChangedMetadata, change); equality.Semantic.DeepEqual(change, status.ChangedMetadata) {
		return nil
	}
	status.ChangedMetadata = change
	return r.writeMarks(ctx, s, status)
}

// withEarlier adds to a change that is not put back yet what was changed since. Whoever
// was first stays named: what is seen again may be their work alone.
func withEarlier(earlier, change *v1beta1.MetadataChange) *v1beta1.MetadataChange {
	if earlier == nil || !earlier.Pending {
		return change
	}
	both := earlier.DeepCopy()
	both.Labels = union(earlier.Labels, change.Labels)
	both.Annotations = union(earlier.Annotations, change.Annotations)
	return both
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// unmark forgets what the service put on the Node before it puts something else there, so
// that a process which ends in between takes nothing of its own for somebody else's.
func (r *Reconciler) unmark(ctx context.Context, s *scene, next v1beta1.NodeMarks) error {
	status := s.object.Status.DeepCopy()
	if status.Marked == nil || *status.Marked == next {
		return nil
	}
	status.Marked = nil
	return r.writeMarks(ctx, s, status)
}

// noteMarks writes down what is on the Node now, where it is as the service wants it.
func (r *Reconciler) noteMarks(ctx context.Context, s *scene, next v1beta1.NodeMarks) error {
	status := s.object.Status.DeepCopy()
	pending := status.ChangedMetadata != nil && status.ChangedMetadata.Pending
	if !pending && status.Marked != nil && *status.Marked == next {
		return nil
	}
	status.Marked = &next
	if pending {
		status.ChangedMetadata.Pending = false
	}
	return r.writeMarks(ctx, s, status)
}

// writeMarks writes a status, but for what is decided of repairs: that is written when it is
// told. The machine has that status once it is written and not before: what is done to the
// Node next relies on it.
func (r *Reconciler) writeMarks(ctx context.Context, s *scene, status *v1beta1.MachineStatus) error {
	written := s.object.DeepCopy()
	written.Status = *status.DeepCopy()
	written.Status.Repair = s.repairedBefore
	if err := r.client.Status().Update(ctx, written); err != nil {
		return fmt.Errorf("note what is on node %s: %w", s.ref.Name, err)
	}
	s.object.Status, s.object.ResourceVersion = *status, written.ResourceVersion
	return nil
}
