package machine

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What others do with a Node's labels counts only where the system made them, and
// only if it was not the service itself (B4).
func TestChangedBy(t *testing.T) {
	system := map[string]string{"kubernetes.azure.com/role": "agent", "agentpool": "np1"}
	for _, c := range []struct {
		why    string
		system map[string]string // what the service wants now
		change func(*corev1.Node)
		want   []string
	}{
		{"nothing was changed", system, func(*corev1.Node) {}, nil},
		{"customers add labels and taints", system, func(n *corev1.Node) {
			n.Labels["team"] = "web"
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "team", Effect: corev1.TaintEffectNoSchedule})
		}, nil},
		{"a value was changed", system, func(n *corev1.Node) { n.Labels["agentpool"] = "other" }, []string{"agentpool"}},
		{"a label was removed", system, func(n *corev1.Node) { delete(n.Labels, "kubernetes.azure.com/role") }, []string{"kubernetes.azure.com/role"}},
		{"the service wants another value itself", map[string]string{"kubernetes.azure.com/role": "agent", "agentpool": "np2"}, func(*corev1.Node) {}, nil},
		{"a node that just registered has no labels yet", system, func(n *corev1.Node) { n.Labels, n.Annotations = nil, nil }, nil},
		{"an older service left no sum", system, func(n *corev1.Node) {
			n.Annotations[annotationMarks] = `{"labels":["agentpool"]}`
			delete(n.Labels, "agentpool")
		}, nil},
	} {
		record, err := json.Marshal(recorded{System: sumOf(system)})
		if err != nil {
			t.Fatal(err)
		}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: maps.Clone(system), Annotations: map[string]string{annotationMarks: string(record)}}}
		c.change(node)
		found := changedBy(node, c.system)
		if (found == nil) != (c.want == nil) || found != nil && !slices.Equal(found.Labels, c.want) {
			t.Errorf("%s: %+v, want %v", c.why, found, c.want)
		}
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
