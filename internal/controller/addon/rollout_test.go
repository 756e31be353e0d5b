package addon

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestRolledOut(t *testing.T) {
	spec := func(image string) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}
	}
	pod := func(image string, ready corev1.ConditionStatus) corev1.Pod {
		return corev1.Pod{Spec: spec(image), Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
	}
	current, starting, old := pod("new", corev1.ConditionTrue), pod("new", corev1.ConditionFalse), pod("old", corev1.ConditionTrue)
	ending := pod("new", corev1.ConditionTrue)
	ending.DeletionTimestamp = &metav1.Time{}
	for _, c := range []struct {
		why   string
		nodes int32
		pods  []corev1.Pod
		want  bool
	}{
		{"every node has it", 2, []corev1.Pod{current, current}, true},
		{"a cluster without nodes waits for none", 0, nil, true},
		{"one node has the old one", 2, []corev1.Pod{current, old}, false},
		{"one node has none, which follows no endpoints", 2, []corev1.Pod{current}, false},
		{"one starts, and follows none yet", 2, []corev1.Pod{current, starting}, false},
		{"one goes again", 2, []corev1.Pod{current, ending}, false},
	} {
		set := &appsv1.DaemonSet{Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: c.nodes}}
		set.Spec.Template.Spec = spec("new")
		if got := rolledOut(set, c.pods); got != c.want {
			t.Errorf("%s: %t", c.why, got)
		}
	}
}
