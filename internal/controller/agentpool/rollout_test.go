package agentpool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

var (
	oldVersions = versions{kubernetes: "1.36.3", image: "BerthDebian-12containerd-202601.01.0"}
	newVersions = versions{kubernetes: "1.37.2", image: "BerthDebian-12containerd-202602.01.0"}
)

func machineOf(ordinal int32, phase v1beta1.MachinePhase, spec, made versions) v1beta1.Machine {
	m := machineAt(ordinal, phase)
	m.CreationTimestamp = metav1.NewTime(epoch)
	remake(&m, spec)
	m.Status.KubernetesVersion, m.Status.NodeImageVersion, m.Status.UnmanagedOS = made.kubernetes, made.image, made.unmanaged
	return m
}

func surgeOf(m v1beta1.Machine) v1beta1.Machine {
	m.Spec.Surge = true
	return m
}

func TestRolloutSteps(t *testing.T) {
	ready, draining, blocked := v1beta1.MachineReady, v1beta1.MachineDraining, v1beta1.MachineBlocked
	stale := func(ordinal int32) v1beta1.Machine { return machineOf(ordinal, ready, oldVersions, oldVersions) }
	fresh := func(ordinal int32) v1beta1.Machine { return machineOf(ordinal, ready, newVersions, newVersions) }
	moving := func(ordinal int32, phase v1beta1.MachinePhase) v1beta1.Machine {
		return machineOf(ordinal, phase, newVersions, oldVersions)
	}
	starting := surgeOf(machineOf(9, v1beta1.MachineBooting, newVersions, newVersions))
	leaving := surgeOf(fresh(9))
	leaving.DeletionTimestamp = &metav1.Time{Time: epoch}
	broken := machineOf(1, v1beta1.MachineJoined, oldVersions, oldVersions)
	left := moving(3, ready)
	left.Spec.Quarantined, left.Spec.KubernetesVersion, left.Spec.NodeImageVersion = true, oldVersions.kubernetes, oldVersions.image
	for _, c := range []struct {
		why                string
		surge, unavailable int32
		cordon             bool
		machines           []v1beta1.Machine
		want               string
	}{
		{"first the surge", 1, 0, false, []v1beta1.Machine{stale(0), stale(1)}, "surge 1"},
		{"no node goes before the surge is Ready", 1, 0, false, []v1beta1.Machine{stale(0), stale(1), starting}, ""},
		{"then one node a surge node, the oldest first", 1, 0, false, []v1beta1.Machine{stale(0), stale(1), surgeOf(fresh(9))}, "replace 0"},
		{"a node that serves no pods goes first: it costs nothing", 1, 0, false, []v1beta1.Machine{stale(0), broken, surgeOf(fresh(9))}, "replace 1"},
		{"two surge nodes replace two at once", 2, 0, false, []v1beta1.Machine{stale(0), stale(1), stale(2), surgeOf(fresh(8)), surgeOf(fresh(9))}, "replace 0 1"},
		{"the surge never exceeds the nodes that are left", 5, 0, false, []v1beta1.Machine{stale(0), stale(1)}, "surge 2"},
		{"nothing while a node is on its way", 1, 0, false, []v1beta1.Machine{moving(0, draining), stale(1), surgeOf(fresh(9))}, ""},
		{"a replaced node buffers the next", 1, 0, false, []v1beta1.Machine{fresh(0), stale(1), surgeOf(fresh(9))}, "replace 1"},
		{"at the end the surge goes", 1, 0, false, []v1beta1.Machine{fresh(0), fresh(1), surgeOf(fresh(9))}, "remove 9"},
		{"and is waited for", 1, 0, false, []v1beta1.Machine{fresh(0), fresh(1), leaving}, ""},
		{"then it is done", 1, 0, false, []v1beta1.Machine{fresh(0), fresh(1)}, "done"},
		{"in place, without a surge", 0, 1, false, []v1beta1.Machine{stale(0), stale(1)}, "replace 0"},
		{"in place, two at once", 0, 2, false, []v1beta1.Machine{stale(0), stale(1), stale(2)}, "replace 0 1"},
		{"with a surge none may be missing", 1, 1, false, []v1beta1.Machine{stale(0), stale(1)}, "surge 1"},
		{"a node that cannot be drained ends it", 1, 0, false, []v1beta1.Machine{moving(0, blocked), stale(1), surgeOf(fresh(9))}, "failed"},
		{"or is quarantined, and a surge node stays in its place", 1, 0, true, []v1beta1.Machine{moving(0, blocked), stale(1), surgeOf(fresh(9))}, "surge 1 quarantine 0 promote 9"},
		{"more than the surge may not be left aside", 1, 0, true, []v1beta1.Machine{moving(0, blocked), left, surgeOf(fresh(9))}, "failed"},
		{"what was left aside is told at the end", 1, 0, true, []v1beta1.Machine{fresh(0), fresh(1), left}, "done failed"},
		{"an empty pool is done at once", 1, 0, false, nil, "done"},
	} {
		count := int32(0)
		for _, m := range c.machines {
			if !m.Spec.Surge && !m.Spec.Quarantined {
				count++
			}
		}
		plan := planRollout(rollout{goal: aim{versions: newVersions}, count: count, surge: c.surge, unavailable: c.unavailable, cordon: c.cordon,
			machines: c.machines, now: epoch.Add(time.Minute), patience: 30 * time.Minute})
		if got := spell(t, plan); got != c.want {
			t.Errorf("%s: %q, want %q (%+v)", c.why, got, c.want, plan.failure)
		}
	}
}

func spell(t *testing.T, plan rolloutPlan) string {
	t.Helper()
	var words []string
	if plan.done {
		words = append(words, "done")
	}
	if plan.failure != nil {
		words = append(words, "failed")
	}
	if plan.addSurge > 0 {
		words = append(words, fmt.Sprint("surge ", plan.addSurge))
	}
	for _, list := range []struct {
		verb     string
		machines []*v1beta1.Machine
	}{{"quarantine", plan.quarantine}, {"promote", plan.promote}, {"replace", plan.retarget}, {"remove", plan.remove}} {
		if len(list.machines) > 0 {
			words = append(words, list.verb, strings.Trim(fmt.Sprint(ordinals(t, list.machines)), "[]"))
		}
	}
	return strings.Join(words, " ")
}

func TestRolloutGivesUpWithAReason(t *testing.T) {
	late := epoch.Add(40 * time.Minute)
	waiting := surgeOf(machineOf(9, v1beta1.MachinePending, newVersions, newVersions))
	waiting.Status.Message = "Unschedulable: 0/3 nodes are available"
	lost := machineOf(0, v1beta1.MachineBooting, newVersions, newVersions)
	lost.Status.DrainEnded = &metav1.Time{Time: epoch}
	stale := machineOf(0, v1beta1.MachineReady, oldVersions, oldVersions)
	undrained := machineOf(0, v1beta1.MachineBlocked, newVersions, oldVersions)
	undrained.Status.DrainBlocker = "pod default/web, PodDisruptionBudget default/web"
	for _, c := range []struct {
		why                string
		machines           []v1beta1.Machine
		surge, unavailable int32
		now                time.Time
		wantSurge          int32
		wantError          string
	}{
		{"no room for two: on with one", []v1beta1.Machine{stale, waiting}, 2, 0, epoch.Add(6 * time.Minute), 1, ""},
		{"it waits a while for room first", []v1beta1.Machine{stale, waiting}, 2, 0, epoch.Add(4 * time.Minute), 2, ""},
		{"no room for one: in place, where that is allowed", []v1beta1.Machine{stale, waiting}, 1, 1, epoch.Add(6 * time.Minute), 0, ""},
		{"otherwise it ends, and says why", []v1beta1.Machine{stale, waiting}, 1, 0, late, 1, "Unschedulable: 0/3 nodes are available"},
		{"a node that does not come back", []v1beta1.Machine{lost}, 1, 0, late, 1, lost.Spec.NodeName + " was not Ready"},
		{"a node that cannot be drained names pod and budget", []v1beta1.Machine{undrained}, 1, 0, epoch, 1, undrained.Status.DrainBlocker},
	} {
		plan := planRollout(rollout{goal: aim{versions: newVersions}, count: 1, surge: c.surge, unavailable: c.unavailable, machines: c.machines, now: c.now, patience: 30 * time.Minute})
		if plan.surge != c.wantSurge || (plan.failure == nil) != (c.wantError == "") {
			t.Errorf("%s: surge %d, %+v", c.why, plan.surge, plan.failure)
			continue
		}
		if plan.failure != nil && (plan.failure.Code != CodeUpgradeFailed || !strings.Contains(plan.failure.Message, c.wantError)) {
			t.Errorf("%s: %+v, want %q", c.why, plan.failure, c.wantError)
		}
	}
}

// fate is what becomes of a machine in a simulated world.
type fate struct{ undrainable bool }

// Whatever the pool and its settings: an upgrade ends, never has more nodes than
// count and surge, never fewer Ready ones than the count less those that may be
// missing, and keeps the nodes' names.
func TestRolloutProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for round := range 400 {
		count, surge, unavailable := int32(1+random.IntN(9)), int32(random.IntN(4)), int32(0)
		if surge == 0 {
			unavailable = int32(1 + random.IntN(3))
		}
		fates := map[int32]fate{}
		var machines []v1beta1.Machine
		for ordinal := range count {
			versions := oldVersions
			if random.IntN(4) == 0 {
				versions = newVersions // an earlier attempt got this far
			}
			machines = append(machines, machineOf(ordinal, v1beta1.MachineReady, versions, versions))
			fates[ordinal] = fate{undrainable: random.IntN(10) == 0}
		}
		w := simulation{
			T: t, name: fmt.Sprintf("round %d: count %d, surge %d, unavailable %d, fates %v", round, count, surge, unavailable, fates), random: random, fates: fates,
			in: rollout{goal: aim{versions: newVersions}, count: count, surge: surge, unavailable: unavailable, cordon: random.IntN(2) == 0, machines: machines, now: epoch, patience: 30 * time.Minute},
		}
		w.run()
	}
}

type simulation struct {
	*testing.T
	name   string
	random *rand.Rand
	fates  map[int32]fate
	in     rollout
	next   int32
}

func (w *simulation) run() {
	w.Helper()
	w.next = 100
	for range 2000 {
		plan := planRollout(w.in)
		if plan.done || plan.failure != nil {
			w.end(plan)
			return
		}
		w.obey(plan)
		w.check()
		w.world()
		w.check()
	}
	w.Fatalf("%s: never ends: %s", w.name, w.state())
}

func (w *simulation) obey(plan rolloutPlan) {
	for _, m := range plan.quarantine {
		m.Spec.KubernetesVersion, m.Spec.NodeImageVersion, m.Spec.Quarantined = oldVersions.kubernetes, oldVersions.image, true
		m.Status.Phase = v1beta1.MachineReady
	}
	for _, m := range plan.promote {
		m.Spec.Surge = false
	}
	for _, m := range plan.retarget {
		m.Spec.KubernetesVersion, m.Spec.NodeImageVersion = newVersions.kubernetes, newVersions.image
	}
	for _, m := range plan.remove {
		m.DeletionTimestamp = &metav1.Time{Time: epoch}
	}
	w.in.surge = plan.surge
	for range plan.addSurge {
		w.in.machines = append(w.in.machines, surgeOf(machineOf(w.next, v1beta1.MachinePending, newVersions, newVersions)))
		w.next++
	}
	// What the ordinary plan of a pool does beside the upgrade.
	base := MakePlan(w.in.count, w.next, v1beta1.MachineSpec{}, w.in.machines)
	for range base.Create {
		w.in.machines = append(w.in.machines, machineOf(w.next, v1beta1.MachinePending, newVersions, newVersions))
		w.next++
	}
	if len(base.Delete) > 0 {
		w.Fatalf("%s: the pool's plan deletes %v: %s", w.name, ordinals(w.T, base.Delete), w.state())
	}
}

// world moves one machine, or some, a step on.
func (w *simulation) world() {
	for i := range w.in.machines {
		m := &w.in.machines[i]
		if w.random.IntN(2) == 0 {
			continue
		}
		ordinal, _ := machine.Ordinal(m.Name)
		switch phase := m.Status.Phase; {
		case !m.DeletionTimestamp.IsZero():
			w.in.machines = slices.Delete(w.in.machines, i, i+1)
			return
		case specVersions(m) != madeVersions(m) && phase == v1beta1.MachineReady:
			m.Status.Phase = v1beta1.MachineDraining
		case phase == v1beta1.MachineDraining && w.fates[ordinal].undrainable:
			m.Status.Phase = v1beta1.MachineBlocked
		case phase == v1beta1.MachineDraining:
			m.Status.Phase = v1beta1.MachineReimaged
		case phase == v1beta1.MachineReimaged:
			m.Status.KubernetesVersion, m.Status.NodeImageVersion, m.Status.Phase = m.Spec.KubernetesVersion, m.Spec.NodeImageVersion, v1beta1.MachinePending
		case phase == v1beta1.MachinePending, phase == v1beta1.MachineBooting:
			m.Status.Phase = v1beta1.MachineReady
		}
	}
}

func (w *simulation) check() {
	w.Helper()
	ready, all := int32(0), int32(0)
	for i := range w.in.machines {
		m := &w.in.machines[i]
		if m.Spec.Quarantined || m.Status.Phase == v1beta1.MachineBlocked {
			continue
		}
		all++
		if runs(m) && m.DeletionTimestamp.IsZero() {
			ready++
		}
	}
	if all > w.in.count+w.in.surge {
		w.Fatalf("%s: %d machines: %s", w.name, all, w.state())
	}
	aside := int32(0)
	for i := range w.in.machines {
		if m := &w.in.machines[i]; m.Spec.Quarantined || m.Status.Phase == v1beta1.MachineBlocked {
			aside++ // still carries its pods
		}
	}
	if ready+aside < w.in.count-w.in.unavailable {
		w.Fatalf("%s: only %d Ready nodes: %s", w.name, ready, w.state())
	}
}

// end looks at what an upgrade came to.
func (w *simulation) end(plan rolloutPlan) {
	w.Helper()
	blocked, quarantined, kept := false, 0, 0
	for i := range w.in.machines {
		m := &w.in.machines[i]
		ordinal, _ := machine.Ordinal(m.Name)
		blocked = blocked || w.fates[ordinal].undrainable && m.Spec.KubernetesVersion != oldVersions.kubernetes && m.Status.KubernetesVersion == oldVersions.kubernetes
		switch {
		case m.Spec.Quarantined:
			quarantined++
		case ordinal < 100:
			kept++
		}
		if plan.done && !m.Spec.Quarantined && (!runs(m) || madeVersions(m) != newVersions || m.Spec.Surge) {
			w.Fatalf("%s: done with %s", w.name, w.state())
		}
	}
	if plan.done && int32(kept+quarantined) != w.in.count {
		w.Fatalf("%s: names were lost: %s", w.name, w.state())
	}
	if (plan.failure != nil) != (blocked || quarantined > 0) {
		w.Fatalf("%s: ended with %+v: %s", w.name, plan.failure, w.state())
	}
}

func (w *simulation) state() string {
	text := ""
	for _, m := range w.in.machines {
		ordinal, _ := machine.Ordinal(m.Name)
		text += fmt.Sprintf("\n  %d %s surge %v quarantined %v deleted %v spec %v made %v", ordinal, m.Status.Phase, m.Spec.Surge, m.Spec.Quarantined, m.DeletionTimestamp != nil, specVersions(&m), madeVersions(&m))
	}
	return text
}

func TestSurgeAndUnavailable(t *testing.T) {
	for _, c := range []struct {
		why               string
		surge, missing    string
		count             int32
		wantSurge, wantUn int32
	}{
		{"10% by default, rounded up", "", "", 11, 2, 0},
		{"at least one", "", "", 0, 1, 0},
		{"a third of seven", "33%", "", 7, 3, 0},
		{"no more than there are", "5", "", 2, 2, 0},
		{"in place where only that is asked for", "", "1", 4, 0, 1},
		{"none, where nodes may be missing", "0", "25%", 4, 0, 1},
		{"one, where none may be missing", "0", "", 4, 1, 0},
		{"nonsense is the least", "x", "y%", 4, 1, 0},
	} {
		settings := &v1beta1.UpgradeSettings{MaxSurge: c.surge, MaxUnavailable: c.missing}
		if s, u := surgeCount(settings, c.count), unavailableCount(settings, c.count); s != c.wantSurge || u != c.wantUn {
			t.Errorf("%s: surge %d, unavailable %d", c.why, s, u)
		}
	}
	if s := surgeCount(nil, 30); s != 3 {
		t.Errorf("without settings: surge %d, want 3", s)
	}
}
