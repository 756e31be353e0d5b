package machine

import (
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// What others do with a Node's labels counts only where the system made them, and only if
// it was not the service itself (B4). What the Node says of it is not believed.
func TestChangedBy(t *testing.T) {
	system := map[string]string{"kubernetes.azure.com/role": "agent", "agentpool": "np1"}
	record := marks{Labels: system, System: sumOf(system)}.record()
	for _, c := range []struct {
		why    string
		system map[string]string // what the service wants now
		change func(*corev1.Node, *v1beta1.NodeMarks)
		want   []string
	}{
		{"nothing was changed", system, func(*corev1.Node, *v1beta1.NodeMarks) {}, nil},
		{"customers add labels, annotations and taints", system, func(n *corev1.Node, _ *v1beta1.NodeMarks) {
			n.Labels["team"], n.Annotations["team"] = "web", "web"
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "team", Effect: corev1.TaintEffectNoSchedule})
		}, nil},
		{"a value was changed", system, func(n *corev1.Node, _ *v1beta1.NodeMarks) { n.Labels["agentpool"] = "other" }, []string{"agentpool"}},
		{"a label was removed", system, func(n *corev1.Node, _ *v1beta1.NodeMarks) { delete(n.Labels, "kubernetes.azure.com/role") }, []string{"kubernetes.azure.com/role"}},
		{"a label was changed, and the record with it", system, func(n *corev1.Node, _ *v1beta1.NodeMarks) {
			n.Labels["agentpool"] = "other"
			delete(n.Annotations, annotationMarks)
		}, []string{"agentpool", annotationMarks}},
		{"a label was changed, and the record forged", system, func(n *corev1.Node, _ *v1beta1.NodeMarks) {
			n.Labels["agentpool"] = "other"
			n.Annotations[annotationMarks] = marks{Labels: n.Labels, System: sumOf(map[string]string{"kubernetes.azure.com/role": "agent", "agentpool": "other"})}.record()
		}, []string{"agentpool", annotationMarks}},
		{"the record was removed", system, func(n *corev1.Node, _ *v1beta1.NodeMarks) { n.Annotations = nil }, []string{annotationMarks}},
		{"the service wants another value itself", map[string]string{"kubernetes.azure.com/role": "agent", "agentpool": "np2"}, func(*corev1.Node, *v1beta1.NodeMarks) {}, nil},
		{"a node that just registered again", system, func(n *corev1.Node, _ *v1beta1.NodeMarks) { n.UID, n.Labels, n.Annotations = "other", nil, nil }, nil},
		{"a backup put the node back", system, func(n *corev1.Node, m *v1beta1.NodeMarks) {
			n.Labels, n.Annotations, m.Data = map[string]string{"agentpool": "np0"}, nil, "before"
		}, nil},
	} {
		marked := &v1beta1.NodeMarks{Node: "uid", System: sumOf(system), Record: record, Data: "now"}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{UID: "uid", Labels: maps.Clone(system), Annotations: map[string]string{annotationMarks: record}}}
		c.change(node, marked)
		found := changedBy(node, marked, c.system, "now")
		if (found == nil) != (c.want == nil) || found != nil && !slices.Equal(slices.Concat(found.Labels, found.Annotations), c.want) {
			t.Errorf("%s: %+v, want %v", c.why, found, c.want)
		}
		if found := changedBy(node, nil, c.system, "now"); found != nil {
			t.Errorf("%s, on a node that was never marked: %+v", c.why, found)
		}
	}
}

// Data that were put back are others, whether a recovery or an upgrade did it.
func TestDataOf(t *testing.T) {
	cluster := &v1beta1.ManagedCluster{}
	seen := map[string]string{dataOf(cluster): "as made"}
	expect := func(why string, other bool) {
		t.Helper()
		data := dataOf(cluster)
		if before, known := seen[data]; known == other {
			t.Errorf("%s: %q, as %q", why, data, before)
		}
		seen[data] = why
	}
	cluster.Status.Upgrade = &v1beta1.ControlPlaneUpgrade{To: "1.37.2", Phase: v1beta1.UpgradeComponents}
	expect("an upgrade that does well", false)
	cluster.Status.Upgrade.Phase = v1beta1.UpgradeRestore
	expect("an upgrade's data are put back", true)
	cluster.Status.Upgrade.Phase = v1beta1.UpgradeFailed
	expect("the upgrade failed", false)
	cluster.Status.Recovery = &v1beta1.ControlPlaneRecovery{ID: "recovery-1"}
	expect("a recovery", true)
}

// The first to change something stays named until it is put back.
func TestEarlierChange(t *testing.T) {
	first := &v1beta1.MetadataChange{Labels: []string{"b"}, Manager: "first", Pending: true}
	later := &v1beta1.MetadataChange{Labels: []string{"a", "b"}, Annotations: []string{annotationMarks}, Manager: "later", Pending: true}
	if got := withEarlier(first, later); got.Manager != "first" || !slices.Equal(got.Labels, []string{"a", "b"}) || !slices.Equal(got.Annotations, later.Annotations) {
		t.Errorf("not put back: %+v", got)
	}
	first.Pending = false
	if got := withEarlier(first, later); got != later {
		t.Errorf("put back: %+v", got)
	}
	if got := withEarlier(nil, later); got != later {
		t.Errorf("none before: %+v", got)
	}
}

func TestManagerOf(t *testing.T) {
	entry := func(manager, fields, subresource string, minute int) metav1.ManagedFieldsEntry {
		at := metav1.NewTime(time.Date(2026, 11, 26, 12, minute, 0, 0, time.UTC))
		return metav1.ManagedFieldsEntry{Manager: manager, Subresource: subresource, Time: &at, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"agentpool": "other"}, ManagedFields: []metav1.ManagedFieldsEntry{
		entry("meddler", `{"f:metadata":{"f:labels":{"f:agentpool":{}}}}`, "", 1),
		entry("berth", `{"f:metadata":{"f:labels":{"f:role":{}}}}`, "", 0),
		entry("remover", `{"f:metadata":{"f:annotations":{}}}`, "", 2),
		entry("kubelet", `{"f:status":{}}`, "status", 3),
	}}}
	if got := managerOf(node, []string{"agentpool"}); got != "meddler" {
		t.Errorf("a changed label is %s's", got)
	}
	if got := managerOf(node, []string{"role"}); got != "remover" {
		t.Errorf("a removed label was %s's", got)
	}
}
