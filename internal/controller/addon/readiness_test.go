package addon

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Deployment runs when all its pods are of what it is now, and no more than one is away.
func TestDeploymentLacks(t *testing.T) {
	for _, c := range []struct {
		why             string
		replicas        int32
		generation      int64
		updated, all    int32
		available, seen int32
		runs            bool
	}{
		{"all is there", 2, 1, 2, 2, 2, 1, true},
		{"a node is drained", 2, 1, 2, 2, 1, 1, true},
		{"nothing is available", 2, 1, 2, 2, 0, 1, false},
		{"the only one is away", 1, 1, 1, 1, 0, 1, false},
		{"an old pod is still there, which may be the one that is available", 1, 1, 1, 2, 1, 1, false},
		{"only one of two is new", 2, 1, 1, 2, 2, 1, false},
		{"the change was not seen yet: what is there is the former", 2, 2, 2, 2, 2, 1, false},
	} {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: c.generation}}
		d.Spec.Replicas, d.Spec.Template.Spec.Containers = &c.replicas, []corev1.Container{{Image: "coredns:v2"}}
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: int64(c.seen), UpdatedReplicas: c.updated, Replicas: c.all, AvailableReplicas: c.available}
		lacks := deploymentLacks(d)
		if (lacks == "") != c.runs || !c.runs && !strings.Contains(lacks, "coredns:v2") {
			t.Errorf("%s: %q", c.why, lacks)
		}
	}
}

// A DaemonSet runs when it does on all nodes that are ready themselves.
func TestDaemonSetLacks(t *testing.T) {
	for _, c := range []struct {
		why                string
		generation         int64
		nodes, ready, dead int32
		runs               bool
	}{
		{"on all nodes", 1, 3, 3, 0, true},
		{"a cluster without nodes lacks nothing", 1, 0, 0, 0, true},
		{"one node is dead", 1, 3, 2, 1, true},
		{"one node has the old one, or one that does not start", 1, 3, 2, 0, false},
		{"so has one, and another node is dead", 1, 3, 1, 1, false},
		{"the change was not seen yet", 2, 3, 3, 0, false},
	} {
		d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Generation: c.generation}}
		d.Spec.Template.Spec.Containers = []corev1.Container{{Image: "berth-node:v2"}}
		d.Status = appsv1.DaemonSetStatus{ObservedGeneration: 1, DesiredNumberScheduled: c.nodes}
		if lacks := daemonSetLacks(d, c.ready, c.dead); (lacks == "") != c.runs {
			t.Errorf("%s: %q", c.why, lacks)
		}
	}
}
