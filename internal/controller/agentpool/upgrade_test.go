package agentpool_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controller/agentpool"
	"berth.dev/berth/internal/release"
)

// upgradable is a world with a pool of two nodes of 1.36.3 under a control plane of
// 1.37.2.
func upgradable(t *testing.T, namespace string) *world {
	w := newWorld(t, namespace, 2)
	w.address()
	w.expect("the pool is made", v1beta1.StateCreating, 0, 1)
	w.settle()
	w.expect("and is well", v1beta1.StateSucceeded, 0, 1)
	cluster := &v1beta1.ManagedCluster{}
	w.must(w.client.Get(w.Context(), client.ObjectKey{Namespace: namespace, Name: "rg.c"}, cluster))
	cluster.Status.CurrentKubernetesVersion = "1.37.2"
	w.must(w.client.Status().Update(w.Context(), cluster))
	return w
}

func (w *world) machine(ordinal int) *v1beta1.Machine {
	w.Helper()
	all := w.machines()
	slices.SortFunc(all, func(a, b v1beta1.Machine) int { return strings.Compare(a.Name, b.Name) })
	return &all[ordinal]
}

// make plays the machine controller: a machine becomes what its spec says.
func (w *world) make(m *v1beta1.Machine, phase v1beta1.MachinePhase, blocker string) {
	w.Helper()
	w.must(w.client.Get(w.Context(), client.ObjectKeyFromObject(m), m))
	m.Status.Phase, m.Status.DrainBlocker = phase, blocker
	if phase == v1beta1.MachineReady {
		m.Status.KubernetesVersion, m.Status.NodeImageVersion = m.Spec.KubernetesVersion, m.Spec.NodeImageVersion
	}
	w.must(w.client.Status().Update(w.Context(), m))
}

// A node that cannot be drained is left aside, a surge node stays in its place, and
// the next request removes it (AKS: undrainableNodeBehavior Cordon).
func TestPoolGoesOnWithoutAnUndrainableNode(t *testing.T) {
	w := upgradable(t, "sub-cordon")
	w.change(func(s *v1beta1.AgentPoolSpec) {
		s.OrchestratorVersion, s.UpgradeSettings = "1.37.2", &v1beta1.UpgradeSettings{UndrainableNodeBehavior: "Cordon"}
	})
	w.expect("first a surge node", v1beta1.StateUpgrading, 0, 1, 2)
	if surge := w.machine(2).Spec; !surge.Surge || surge.KubernetesVersion != "1.37.2" {
		t.Fatalf("surge machine %+v", surge)
	}
	w.settle()
	w.expect("then the oldest node", v1beta1.StateUpgrading, 0, 1, 2)
	if first, second := w.machine(0).Spec, w.machine(1).Spec; first.KubernetesVersion != "1.37.2" || second.KubernetesVersion != "1.36.3" {
		t.Fatalf("machines %+v, %+v; want the first alone upgraded", first, second)
	}
	w.make(w.machine(0), v1beta1.MachineBlocked, "pod a/b")
	w.expect("it is blocked: another surge node", v1beta1.StateUpgrading, 0, 1, 2, 3)
	if blocked, kept := w.machine(0).Spec, w.machine(2).Spec; !blocked.Quarantined || blocked.KubernetesVersion != "1.36.3" || kept.Surge {
		t.Fatalf("machines %+v, %+v; want the first quarantined and the surge node kept", blocked, kept)
	}
	w.settle()
	w.expect("the upgrade goes on", v1beta1.StateUpgrading, 0, 1, 2, 3)
	w.settle()
	w.expect("the surge goes", v1beta1.StateUpgrading, 0, 1, 2, 3)
	w.settle()
	w.expect("what was left aside is told", v1beta1.StateFailed, 0, 1, 2)
	if cause := w.pool.Status.Error; cause.Code != agentpool.CodeUpgradeFailed || !strings.Contains(cause.Message, w.machine(0).Spec.NodeName) {
		t.Errorf("error %+v", cause)
	}
	if w.pool.Status.CurrentOrchestratorVersion != "1.36.3" {
		t.Errorf("the pool shows %s while a node has the old version", w.pool.Status.CurrentOrchestratorVersion)
	}
	w.expect("and nothing more happens", v1beta1.StateFailed, 0, 1, 2)

	w.pool.Annotations = map[string]string{v1beta1.AnnotationOperation: "again"}
	w.must(w.client.Update(t.Context(), w.pool))
	w.reconcile()
	w.settle()
	w.expect("the same once more removes it", v1beta1.StateSucceeded, 1, 2)
	if s := w.pool.Status; s.CurrentOrchestratorVersion != "1.37.2" || len(s.RecentlyUsedVersions) != 1 {
		t.Errorf("status %+v", s)
	}
}

// An abort puts back what has not been replaced, and the next request goes on.
func TestPoolAborts(t *testing.T) {
	w := upgradable(t, "sub-abort")
	w.pool.Annotations = map[string]string{v1beta1.AnnotationOperation: "op"}
	w.change(func(s *v1beta1.AgentPoolSpec) { s.OrchestratorVersion = "1.37.2" })
	w.expect("first a surge node", v1beta1.StateUpgrading, 0, 1, 2)
	w.settle()
	w.expect("then the oldest node", v1beta1.StateUpgrading, 0, 1, 2)
	w.make(w.machine(0), v1beta1.MachineDraining, "")
	w.pool.Annotations[v1beta1.AnnotationAbort] = "op"
	w.must(w.client.Update(t.Context(), w.pool))
	w.expect("aborted", v1beta1.StateCanceled, 0, 1, 2)
	if m := w.machine(0).Spec; m.KubernetesVersion != "1.36.3" {
		t.Errorf("a node that drains is not put back: %+v", m)
	}
	if surge := w.machine(2); !surge.DeletionTimestamp.IsZero() {
		t.Error("the surge goes before the node that drained takes pods again")
	}
	w.settle()
	w.expect("then the surge goes", v1beta1.StateCanceled, 0, 1, 2)
	w.settle()
	w.expect("it is gone", v1beta1.StateCanceled, 0, 1)
	w.pool.Annotations[v1beta1.AnnotationOperation] = "next"
	w.must(w.client.Update(t.Context(), w.pool))
	w.expect("it goes on, with a new surge node", v1beta1.StateUpgrading, 0, 1, 3)
}

// Two pools that are asked for together are upgraded one after the other, even if
// both look at the same moment.
func TestPoolsTakeTurns(t *testing.T) {
	w := upgradable(t, "sub-turns")
	other := w.pool.DeepCopy()
	other.ObjectMeta = metav1.ObjectMeta{
		Namespace: w.namespace, Name: "rg.c.aa", Finalizers: []string{v1beta1.Finalizer}, Labels: map[string]string{v1beta1.LabelCluster: "rg.c"},
	}
	other.Spec.Name = "aa"
	status := *w.pool.Status.DeepCopy()
	w.must(w.client.Create(t.Context(), other))
	other.Status = status
	w.must(w.client.Status().Update(t.Context(), other))
	w.pool.Labels = map[string]string{v1beta1.LabelCluster: "rg.c"}
	pools := []*v1beta1.AgentPool{w.pool, other}
	for _, pool := range pools {
		pool.Spec.OrchestratorVersion, pool.Spec.Count = "1.37.2", new(int32(0))
		pool.Annotations = map[string]string{v1beta1.AnnotationOperation: "op"}
		w.must(w.client.Update(t.Context(), pool))
	}
	r := agentpool.New(w.client, w.client, agentpool.Config{Catalogue: &release.Catalogue{
		Releases:         []release.Release{{Version: "1.37.2", Default: true}, {Version: "1.36.3"}},
		NodeImageVersion: "BerthDebian-12containerd-202602.01.0",
	}})
	var passes sync.WaitGroup
	for _, pool := range pools {
		for range 3 {
			passes.Go(func() {
				if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	passes.Wait()
	for _, pool := range pools {
		w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool))
	}
	if other.Status.Upgrade == nil {
		t.Errorf("the first pool by name has not begun: %+v", other.Status)
	}
	if first, second := other.Status.Upgrade, w.pool.Status.Upgrade; second != nil && (first == nil || first.EndTime == nil) {
		t.Errorf("both pools are upgraded at once: %+v, %+v", first, second)
	}
}

// A pool goes back to the version that it had, by the same steps (AKS:
// roll-back-node-pool-version).
func TestPoolGoesBack(t *testing.T) {
	w := upgradable(t, "sub-back")
	for _, version := range []string{"1.37.2", "1.36.3"} {
		w.change(func(s *v1beta1.AgentPoolSpec) {
			s.OrchestratorVersion, s.NodeImageVersion = version, "BerthDebian-12containerd-202602.01.0"
		})
		for range 12 {
			if w.reconcile().Status.ProvisioningState == v1beta1.StateSucceeded {
				break
			}
			w.settle()
		}
		if s := w.pool.Status; s.ProvisioningState != v1beta1.StateSucceeded || s.CurrentOrchestratorVersion != version {
			t.Fatalf("after %s: %+v", version, s)
		}
		for _, m := range w.machines() {
			if m.Spec.Surge || m.Status.KubernetesVersion != version {
				t.Errorf("after %s: machine %+v", version, m.Spec)
			}
		}
	}
	if used := w.pool.Status.RecentlyUsedVersions; len(used) != 1 || used[0].OrchestratorVersion != "1.37.2" {
		t.Errorf("recently used versions %+v; what it went back to is not among them", used)
	}
}

// A channel Unmanaged that came halfway and is taken back leaves the newer image where it is, and
// the older one where that is (AKS: upgrade-node-image, auto-upgrade-node-os-image).
func TestTakenBackUnmanagedKeepsNewerImages(t *testing.T) {
	w := upgradable(t, "sub-unmanaged")
	for _, m := range w.machines() {
		m.Spec.NodeImageVersion = olderImage
		w.must(w.client.Update(t.Context(), &m))
	}
	w.settle()
	w.pool.Status.NodeImageVersion = olderImage
	w.must(w.client.Status().Update(t.Context(), w.pool))
	w.nodeOS("Unmanaged")
	w.expect("first a surge node", v1beta1.StateUpgradingNodeImage, 0, 1, 2)
	w.settle()
	w.expect("then the oldest node", v1beta1.StateUpgradingNodeImage, 0, 1, 2)
	w.settle()
	if m := w.machine(0); m.Status.NodeImageVersion != newerImage || !m.Status.UnmanagedOS {
		t.Fatalf("half done: %+v", m.Status)
	}
	w.expect("then the other one", v1beta1.StateUpgradingNodeImage, 0, 1, 2)
	w.make(w.machine(1), v1beta1.MachineBlocked, "pod a/b")
	w.expect("which cannot be drained", v1beta1.StateFailed, 0, 1, 2)
	w.expect("and is put back", v1beta1.StateFailed, 0, 1, 2)
	w.settle()
	w.nodeOS("None")
	w.pool.Annotations = map[string]string{v1beta1.AnnotationOperation: "back"}
	w.must(w.client.Update(t.Context(), w.pool))
	for range 12 {
		w.reconcile()
		if m := w.machine(0).Spec; m.NodeImageVersion != newerImage {
			t.Fatalf("a node image is taken back to %s", m.NodeImageVersion)
		}
		w.settle()
	}
	if s := w.pool.Status; s.ProvisioningState != v1beta1.StateSucceeded || s.NodeImageVersion != olderImage || s.UnmanagedOS {
		t.Errorf("status %+v", s)
	}
	for i, want := range []string{newerImage, olderImage} {
		if m := w.machine(i).Status; m.NodeImageVersion != want || m.UnmanagedOS {
			t.Errorf("node %d: %+v; want image %s", i, m, want)
		}
	}
}

func (w *world) nodeOS(channel string) {
	w.Helper()
	cluster := &v1beta1.ManagedCluster{}
	w.must(w.client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: "rg.c"}, cluster))
	cluster.Spec.AutoUpgradeProfile = &v1beta1.AutoUpgradeProfile{NodeOSUpgradeChannel: channel}
	w.must(w.client.Update(w.Context(), cluster))
}
