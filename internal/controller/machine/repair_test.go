package machine_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

// fall makes a node NotReady, as the node lifecycle controller does.
func (w *world) fall(m *v1beta1.Machine) {
	w.Helper()
	seen, err := w.machines.Observe(w.Context(), w.ref(m))
	w.must(err)
	w.register(m, seen.Address, corev1.ConditionUnknown)
	w.untilRepair(m, "ill", func(r *v1beta1.MachineRepair) bool { return r.Stage == v1beta1.RepairUnhealthy })
}

func (w *world) untilRepair(m *v1beta1.Machine, what string, ok func(*v1beta1.MachineRepair) bool) {
	w.Helper()
	w.until(fmt.Sprintf("%s is %s", m.Name, what), func(ctx context.Context) bool {
		return w.exists(ctx, m) && m.Status.Repair != nil && ok(m.Status.Repair)
	})
}

// later lets time pass and has the machine looked at.
func (w *world) later(m *v1beta1.Machine, after time.Duration) {
	w.Helper()
	w.clock.advance(after)
	w.nudge(m)
}

func (w *world) untilRepairEvent(m *v1beta1.Machine, reason, part string) {
	w.Helper()
	w.until("an event "+reason+" with "+part, func(context.Context) bool { return w.repairEvents(m, reason, part) == 1 })
}

// repairEvents counts the events of auto-repair on a node.
func (w *world) repairEvents(m *v1beta1.Machine, reason, part string) int {
	w.Helper()
	var events corev1.EventList
	w.must(w.client.List(w.Context(), &events, client.InNamespace(metav1.NamespaceDefault)))
	count := 0
	for _, e := range events.Items {
		if e.InvolvedObject.Name == m.Spec.NodeName && e.InvolvedObject.Kind == "Node" && e.Source.Component == "aks-auto-repair" &&
			e.Reason == reason && strings.Contains(e.Message, part) {
			count++
		}
	}
	return count
}

func (w *world) seen(m *v1beta1.Machine) machine.Observation {
	w.Helper()
	seen, err := w.machines.Observe(w.Context(), w.ref(m))
	w.must(err)
	return seen
}

// replace plays the host of a machine that is made anew.
func (w *world) replace(m *v1beta1.Machine, old string) {
	w.Helper()
	w.untilStopping(m)
	w.machines.Halt(w.ref(m))
	w.until("it is made anew", func(context.Context) bool {
		seen := w.seen(m)
		return seen.State == machine.Starting && seen.Incarnation != old
	})
	w.machines.Boot(w.ref(m))
	w.nudge(m)
}

// A node that does not come back goes through reboot, reimage and redeploy, each once,
// with evidence kept, over the deaths of the controller; a node that is well again is
// forgotten.
func TestIllNodeClimbsTheLadder(t *testing.T) {
	w := newWorld(t)
	w.openAPI()
	m := w.ready(0)
	w.fall(m)
	first := w.seen(m)
	w.later(m, 9*time.Minute)
	w.later(m, time.Minute)
	w.until("it is rebooted", func(context.Context) bool { return w.seen(m).State == machine.Starting })
	w.restart()
	w.untilRepairEvent(m, "NodeRebootStart", "because of NodeNotReady")
	w.untilRepair(m, "rebooting", func(r *v1beta1.MachineRepair) bool { return r.Stage == v1beta1.RepairActing })
	if seen := w.seen(m); seen.Incarnation != first.Incarnation || m.Status.Repair.Action != v1beta1.RepairReboot {
		t.Fatalf("reboot made the machine anew: %+v, %+v", seen, m.Status.Repair)
	}
	w.machines.Boot(w.ref(m))
	w.nudge(m)
	w.untilRepairEvent(m, "NodeRebootEnd", "carried out")
	w.untilRepair(m, "watched", func(r *v1beta1.MachineRepair) bool {
		return r.Stage == v1beta1.RepairWatching && r.NextAction == v1beta1.RepairReimage && r.NextTime != nil
	})

	oldToken := m.Status.BootstrapTokenID
	w.later(m, 5*time.Minute)
	w.untilStopping(m)
	w.restart()
	w.replace(m, first.Incarnation)
	second := w.seen(m)
	if made := w.machines.Machines()[w.ref(m)]; made.Near != "memory" || made.Avoid != "" {
		t.Errorf("a reimaged machine is asked to be near %q, to avoid %q", made.Near, made.Avoid)
	}
	w.untilRepairEvent(m, "NodeReimageStart", "evidence is in Secret mc-"+w.id+"/evidence-"+m.Spec.NodeName)
	w.untilRepairEvent(m, "NodeReimageEnd", "")
	w.until("it has a token of its own", func(ctx context.Context) bool { return w.exists(ctx, m) && m.Status.BootstrapTokenID != oldToken })
	w.checkEvidence(m, first)
	if w.seen(m).Boots != 1 || w.repairEvents(m, "NodeRebootStart", "") != 1 {
		t.Errorf("the machine booted %d times, with %d reboots", w.seen(m).Boots, w.repairEvents(m, "NodeRebootStart", ""))
	}

	w.untilRepair(m, "watched again", func(r *v1beta1.MachineRepair) bool {
		return r.Stage == v1beta1.RepairWatching && r.NextAction == v1beta1.RepairRedeploy && r.NextTime != nil
	})
	w.later(m, 5*time.Minute)
	w.replace(m, second.Incarnation)
	if made := w.machines.Machines()[w.ref(m)]; made.Avoid != "memory" || made.Near != "" {
		t.Errorf("a redeployed machine is asked to be near %q, to avoid %q", made.Near, made.Avoid)
	}
	w.untilRepairEvent(m, "NodeRedeployEnd", "attempt 1")
	w.register(m, w.seen(m).Address, corev1.ConditionTrue)
	w.untilPhase(m, v1beta1.MachineReady)
	w.untilRepair(m, "well", func(r *v1beta1.MachineRepair) bool { return r.HealthySince != nil })
	w.later(m, 10*time.Minute)
	w.untilRepair(m, "forgotten", func(r *v1beta1.MachineRepair) bool { return r.Stage == "" && r.Count == 3 && len(r.History) == 3 })
	if m.Status.DrainEnded != nil {
		t.Error("a repair looks like an upgrade's drain")
	}
}

// checkEvidence reads what was saved before the first reimage.
func (w *world) checkEvidence(m *v1beta1.Machine, first machine.Observation) {
	w.Helper()
	secret := &corev1.Secret{}
	w.must(w.client.Get(w.Context(), client.ObjectKey{Namespace: v1beta1.MachineNamespace(w.id), Name: m.Status.Repair.Evidence}, secret))
	reader, err := gzip.NewReader(bytes.NewReader(secret.Data["machine.log.gz"]))
	w.must(err)
	text, err := io.ReadAll(reader)
	w.must(err)
	if !strings.Contains(string(text), "log of incarnation "+first.Incarnation) ||
		!bytes.Contains(secret.Data["node.json"], []byte("conditions")) || !bytes.Contains(secret.Data["repair.json"], []byte("NodeNotReady")) {
		w.Errorf("evidence: log %q, files %d", text, len(secret.Data))
	}
}

// Two nodes of two that are ill at once are nobody's fault but the network's or the
// control plane's: none is touched, and an event says so (X8).
func TestRepairBrakesAndTakesTurns(t *testing.T) {
	w := newWorld(t)
	w.openAPI()
	a, b := w.ready(0), w.ready(1)
	w.fall(a)
	w.fall(b)
	w.clock.advance(time.Hour)
	for _, m := range []*v1beta1.Machine{a, b} {
		w.nudge(m)
		w.untilRepair(m, "held", func(r *v1beta1.MachineRepair) bool { return strings.Contains(r.Held, "2 of 2") })
		w.untilRepairEvent(m, "NodeRepairHeld", "X8")
	}
	// With four more that are well it is these two nodes' own; they are mended one by one.
	for ordinal := range int32(4) {
		w.ready(ordinal + 2)
	}
	w.nudge(a)
	w.untilRepair(a, "rebooted", func(r *v1beta1.MachineRepair) bool { return r.Stage == v1beta1.RepairActing })
	w.nudge(b)
	w.untilRepair(b, "told to wait", func(r *v1beta1.MachineRepair) bool { return strings.Contains(r.Held, "now "+a.Spec.NodeName) })
	w.until("the machine reboots", func(context.Context) bool { return w.seen(a).State == machine.Starting })
	w.machines.Boot(w.ref(a))
	w.register(a, w.seen(a).Address, corev1.ConditionTrue)
	w.untilRepair(a, "well", func(r *v1beta1.MachineRepair) bool { return r.HealthySince != nil })
	w.nudge(b)
	w.untilRepair(b, "rebooted", func(r *v1beta1.MachineRepair) bool { return r.Stage == v1beta1.RepairActing })
}

func TestNodesThatAreNotRepaired(t *testing.T) {
	w := newWorld(t)
	w.openAPI()
	pool := &v1beta1.AgentPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "rg.c.np"},
		Spec:       v1beta1.AgentPoolSpec{ResourceGroup: "rg", ClusterName: "c", AgentPoolProfile: v1beta1.AgentPoolProfile{Name: "np", Tags: map[string]string{v1beta1.TagAutoRepair: v1beta1.TagOff}}},
	}
	w.create(pool)
	off := w.ready(0)
	w.fall(off)
	w.later(off, time.Hour)
	w.untilRepair(off, "left alone", func(r *v1beta1.MachineRepair) bool { return strings.Contains(r.Held, v1beta1.TagAutoRepair) })

	tainted := w.ready(1)
	w.until("the autoscaler's taint", func(ctx context.Context) bool {
		node := w.node(tainted)
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: "ToBeDeletedByClusterAutoscaler", Effect: corev1.TaintEffectNoSchedule})
		return w.client.Update(ctx, node) == nil
	})
	never := w.newMachine(2)
	w.until("the machine is made", func(context.Context) bool { return w.machines.Boot(w.ref(never)) != "" })
	for _, m := range []*v1beta1.Machine{tainted, never} {
		w.register(m, w.seen(m).Address, corev1.ConditionFalse)
		w.untilPhase(m, v1beta1.MachineJoined)
		w.later(m, time.Hour)
	}
	// What they are judged by from now on counts from now on.
	began := w.clock.now().Truncate(time.Second)
	w.until("the autoscaler's taint goes", func(ctx context.Context) bool {
		node := w.node(tainted)
		node.Spec.Taints = nil
		return w.client.Update(ctx, node) == nil
	})
	w.register(never, w.seen(never).Address, corev1.ConditionTrue)
	w.untilPhase(never, v1beta1.MachineReady)
	w.register(never, w.seen(never).Address, corev1.ConditionFalse)
	for _, m := range []*v1beta1.Machine{tainted, never} {
		w.untilRepair(m, "ill", func(r *v1beta1.MachineRepair) bool { return r.Stage == v1beta1.RepairUnhealthy })
		if r, seen := m.Status.Repair, w.seen(m); r.UnhealthySince.Time.Before(began) || r.Count != 0 || seen.State != machine.Running || seen.Boots != 1 {
			t.Errorf("%s was judged before: %+v, %+v", m.Name, r, seen)
		}
	}
}
