package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/testenv"
	"berth.dev/berth/internal/volume"
	"berth.dev/berth/internal/watch"
)

// A management cluster of three nodes has one replica of each kind on each of them, with its
// data, also where one node has by far the most room. Scheduler, controllers and provisioner are
// the real ones, and the nodes objects alone.
func TestReplicasSpreadOverManagementNodes(t *testing.T) {
	env := testenv.New(t, testenv.Options{Scheduler: true, Controllers: testenv.DefaultControllers + ",persistentvolume-binder-controller"})
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := volume.Objects(volume.Config{Image: "berth-node:v1", Default: true})
	if err != nil {
		t.Fatal(err)
	}
	in := standardInput()
	all := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: in.namespace()}}}
	for _, object := range objects {
		all = append(all, object)
	}
	for _, object := range append(all, Workloads(in)...) {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatalf("create %T %s: %v", object, object.GetName(), err)
		}
	}
	for i, cpus := range []string{"8", "64", "8"} {
		managementNode(t, env, c, fmt.Sprintf("node%d", i), cpus)
	}
	for _, component := range []string{ComponentEtcd, ComponentKube} {
		if on := settledOn(t, c, in, component); len(on) != Replicas {
			t.Errorf("replicas of %s are on %v, want %d nodes\n%s", component, on, Replicas, env.Log("scheduler"))
		}
	}
}

// managementNode is a node that is Ready, and its provisioner of volumes.
func managementNode(t *testing.T, env *testenv.Env, c client.Client, name, cpus string) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	if err := c.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	node.Spec.Taints = nil // that of a node which has not said yet that it is Ready
	if err := c.Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	has := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpus), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110")}
	node.Status = corev1.NodeStatus{Capacity: has, Allocatable: has, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}
	if err := c.Status().Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	api, err := watch.NewClientFor(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, dir := make(chan error, 1), t.TempDir()
	go func() {
		done <- volume.Run(ctx, volume.Options{NodeName: name, Class: volume.DefaultClass, Dir: dir}, api, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("provisioner of %s: %v", name, err)
		}
	})
}

// settledOn waits until all replicas have a node, and counts them by node.
func settledOn(t *testing.T, c client.Client, in Input, component string) map[string]int {
	t.Helper()
	var on map[string]int
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		if err := c.List(ctx, &pods, client.InNamespace(in.namespace()), client.MatchingLabels{LabelComponent: component}); err != nil {
			return false, err
		}
		on = map[string]int{}
		for _, pod := range pods.Items {
			if pod.Spec.NodeName == "" {
				return false, nil
			}
			on[pod.Spec.NodeName]++
		}
		return len(pods.Items) == Replicas, nil
	})
	if err != nil {
		t.Fatalf("the replicas of %s have no nodes: %v (%v)", component, err, on)
	}
	return on
}
