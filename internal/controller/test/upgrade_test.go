package test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

const newImage = "BerthDebian-12containerd-202612.01.0"

// A pool of two nodes is upgraded, then an upgrade is blocked by a disruption
// budget, fails as AKS's does, and goes on when it is asked for again.
func TestPoolUpgrade(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	upgradeLife(w)
	t.Logf("%d side effects", w.live().guard.effects())
}

// The same, with the controllers killed over and over: after every second side
// effect and after every third, so that each of them is a last one.
func TestCrashDuringPoolUpgrade(t *testing.T) {
	for _, effects := range []int{2, 3} {
		t.Run(fmt.Sprintf("after %d", effects), func(t *testing.T) {
			w := newWorld(t)
			w.nextGuard = func() *guard { return newGuard(effects, w.client) }
			w.start(w.nextGuard())
			upgradeLife(w)
			t.Logf("died %d times, at %d different points", len(w.deaths), len(slices.Compact(slices.Sorted(slices.Values(w.deaths)))))
			if len(w.deaths) < 20 {
				t.Errorf("only %d deaths: the guard does not see the side effects", len(w.deaths))
			}
		})
	}
}

// Killed at one side effect alone, chosen from all of an upgrade's life: every one
// with -full-sweep.
func TestCrashOnceDuringPoolUpgrade(t *testing.T) {
	counted := newWorld(t)
	counted.start(newGuard(1<<30, counted.client))
	upgradeLife(counted)
	total := counted.live().guard.effects()
	counted.stop()
	step := total/2 + 1
	if *fullSweep {
		step = 1
	}
	for n := step; n <= total; n += step {
		t.Run(fmt.Sprintf("at %d of %d", n, total), func(t *testing.T) {
			w := newWorld(t)
			w.start(newGuard(n, w.client))
			upgradeLife(w)
			t.Logf("died after: %v", w.deaths)
		})
	}
}

// A stopped pool takes no turn: those behind it are upgraded (AKS: start-stop-nodepools).
func TestStoppedPoolHoldsNoOtherUp(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	create := w.createOperation("op-create")
	first := &create.Spec.Desired.AgentPools[0]
	first.OrchestratorVersion = "1.36.3"
	stopped := *first.DeepCopy()
	stopped.Name, stopped.Mode = "earlier", "User"
	create.Spec.Desired.AgentPools = append(create.Spec.Desired.AgentPools, stopped)
	w.request(create)
	w.succeed("op-create")

	stop := w.scaleOperation("op-pool-stop", 1)
	stopped.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerStopped}
	stop.Spec.Target.Name, stop.Spec.Desired.AgentPools = v1beta1.ObjectName(stopped.ResourceGroup, stopped.ClusterName, stopped.Name), []v1beta1.AgentPoolSpec{stopped}
	w.request(stop)
	w.succeed("op-pool-stop")

	all := w.versionOperation("op-upgrade", "1.37.2")
	up := create.Spec.Desired.AgentPools[0]
	up.OrchestratorVersion, stopped.OrchestratorVersion = "1.37.2", "1.37.2"
	all.Spec.Desired.AgentPools = []v1beta1.AgentPoolSpec{up, stopped}
	w.request(all)
	w.succeed("op-upgrade")
	w.checkNodes("1.37.2", catalogue().NodeImageVersion, w.nodeNames())
	w.delete()
	w.checkGone()
}

func upgradeLife(w *world) {
	w.t.Helper()
	create := w.createOperation("op-create")
	create.Spec.Desired.AgentPools[0].Count, create.Spec.Desired.AgentPools[0].OrchestratorVersion = ptr(int32(2)), "1.36.3"
	w.request(create)
	w.succeed("op-create")
	names := w.nodeNames()
	w.checkNodes("1.36.3", catalogue().NodeImageVersion, names)

	w.request(w.upgradeOperation("op-upgrade", ""))
	w.succeed("op-upgrade")
	w.checkNodes("1.37.2", catalogue().NodeImageVersion, names)
	w.checkRemembered("1.36.3")

	budget := w.protect(names[0])
	w.request(w.upgradeOperation("op-blocked", newImage))
	w.untilBlocked()
	w.ahead.Add(int64(2 * time.Minute))
	op := w.finish("op-blocked")
	if op.Status.Status != v1beta1.OperationFailed || op.Status.Error.Code != "UpgradeFailed" {
		w.t.Fatalf("operation %s %+v\n%s", op.Status.Status, op.Status.Error, w.dump())
	}
	for _, part := range []string{names[0], "pod default/web", "PodDisruptionBudget default/web"} {
		if !strings.Contains(op.Status.Error.Message, part) {
			w.t.Errorf("the error does not name %s: %s", part, op.Status.Error.Message)
		}
	}
	w.checkNodes("1.37.2", catalogue().NodeImageVersion, names)

	if err := w.client.Delete(w.t.Context(), budget); err != nil {
		w.t.Fatal(err)
	}
	w.request(w.upgradeOperation("op-again", newImage))
	w.succeed("op-again")
	w.checkNodes("1.37.2", newImage, names)
	w.delete()
	w.checkGone()
}

func (w *world) upgradeOperation(name, image string) *v1beta1.Operation {
	op := w.scaleOperation(name, 2)
	op.Spec.State = v1beta1.StateUpgrading
	pool := &op.Spec.Desired.AgentPools[0]
	pool.OrchestratorVersion, pool.NodeImageVersion = "1.37.2", image
	pool.UpgradeSettings = &v1beta1.UpgradeSettings{DrainTimeoutInMinutes: ptr(int32(1))}
	return op
}

func (w *world) nodeNames() []string {
	w.t.Helper()
	var names []string
	for _, m := range w.machineObjects() {
		names = append(names, m.Spec.NodeName)
	}
	slices.Sort(names)
	return names
}

func (w *world) machineObjects() []v1beta1.Machine {
	w.t.Helper()
	var list v1beta1.MachineList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// checkNodes waits until nothing is left of an upgrade but nodes of these versions
// under their old names, which take pods.
func (w *world) checkNodes(kubernetes, image string, names []string) {
	w.t.Helper()
	wrong := ""
	err := wait.PollUntilContextTimeout(w.t.Context(), pollEvery, patience, true, func(ctx context.Context) (bool, error) {
		w.live()
		wrong = w.differs(ctx, kubernetes, image, names)
		return wrong == "", nil
	})
	if err != nil {
		w.t.Fatalf("%s\n%s", wrong, w.dump())
	}
}

func (w *world) differs(ctx context.Context, kubernetes, image string, names []string) string {
	if got := w.nodeNames(); !slices.Equal(got, names) {
		return "nodes " + strings.Join(got, ", ")
	}
	for _, m := range w.machineObjects() {
		if m.Status.KubernetesVersion != kubernetes || m.Status.NodeImageVersion != image || m.Status.Phase != v1beta1.MachineReady {
			return m.Name + " is not made of " + kubernetes + " and " + image
		}
		node := &corev1.Node{}
		if err := w.client.Get(ctx, client.ObjectKey{Name: m.Spec.NodeName}, node); err != nil || node.Spec.Unschedulable {
			return m.Spec.NodeName + " takes no pods"
		}
		if node.Labels["kubernetes.azure.com/node-image-version"] != image {
			return m.Spec.NodeName + " is labelled with another image"
		}
	}
	for ref, made := range w.machines.Machines() {
		if !strings.Contains(made.Image, "v"+kubernetes+":") {
			return ref.Name + " runs " + made.Image
		}
	}
	if made := len(w.machines.Machines()); made != len(names) {
		return "machines are left over"
	}
	return ""
}

func (w *world) checkRemembered(kubernetes string) {
	w.t.Helper()
	var pool v1beta1.AgentPool
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: w.poolName()}, &pool); err != nil {
		w.t.Fatal(err)
	}
	used, upgrade := pool.Status.RecentlyUsedVersions, pool.Status.Upgrade
	if len(used) != 1 || used[0].OrchestratorVersion != kubernetes {
		w.t.Errorf("recently used versions: %+v, want %s alone", used, kubernetes)
	}
	if upgrade == nil || upgrade.EndTime == nil || upgrade.Nodes != 2 || upgrade.Done != 2 {
		w.t.Errorf("upgrade %+v", upgrade)
	}
}

// protect puts a pod on a node that a budget lets nobody evict.
func (w *world) protect(node string) *policyv1.PodDisruptionBudget {
	w.t.Helper()
	labels, all := map[string]string{"app": "web"}, intstr.FromString("100%")
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &all, Selector: &metav1.LabelSelector{MatchLabels: labels}},
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", Labels: labels},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	for _, object := range []client.Object{budget, pod} {
		if err := w.client.Create(w.t.Context(), object); err != nil {
			w.t.Fatal(err)
		}
	}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if err := w.client.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
	return budget
}

func (w *world) untilBlocked() {
	w.t.Helper()
	err := wait.PollUntilContextTimeout(w.t.Context(), pollEvery, patience, true, func(context.Context) (bool, error) {
		w.live()
		return slices.ContainsFunc(w.machineObjects(), func(m v1beta1.Machine) bool {
			return m.Status.Phase == v1beta1.MachineDraining && strings.Contains(m.Status.DrainBlocker, "PodDisruptionBudget")
		}), nil
	})
	if err != nil {
		w.t.Fatalf("no drain is blocked\n%s", w.dump())
	}
}
