package test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

// Killed over and over while a node goes through reboot, reimage and redeploy, the
// controllers neither repeat nor skip one (E4), and save the evidence of each once (X8).
func TestCrashDuringRepair(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.create()
	w.hastyRepairs(100 * time.Millisecond)
	w.stop()
	w.nextGuard = func() *guard { return newGuard(2, w.client) }
	w.start(w.nextGuard())
	w.repairLife()
	t.Logf("died %d times: %q", len(w.deaths), w.deaths)
	if len(w.deaths) < 8 {
		t.Errorf("only %d deaths: the guard does not see the side effects", len(w.deaths))
	}
	w.stop()
	w.nextGuard = func() *guard { return newGuard(0, w.client) }
	w.start(w.nextGuard())
	w.delete()
	w.checkGone()
}

// hastyRepairs makes repairs wait for next to nothing: a second less than what is said, at worst, as times are stored in seconds.
func (w *world) hastyRepairs(wait time.Duration) {
	w.t.Helper()
	soon := &metav1.Duration{Duration: wait}
	found := &v1beta1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName}}
	w.ensure(found)
	set := func(repair *v1beta1.NodeRepair) error {
		return changeNow(context.Background(), w.client, found, func() { found.Spec.NodeRepair = repair })
	}
	w.t.Cleanup(func() {
		if err := set(nil); err != nil {
			w.t.Error(err)
		}
	})
	if err := set(&v1beta1.NodeRepair{After: soon, Wait: soon}); err != nil {
		w.t.Fatal(err)
	}
}

// repairLife makes the only node ill until its machine was made anew twice.
func (w *world) repairLife() {
	w.t.Helper()
	first := incarnation(w.machine())
	most := map[int]int32{}
	w.mu.Lock()
	w.ill = func(seen machine.Observation) bool {
		most[incarnation(seen)] = max(most[incarnation(seen)], seen.Boots)
		return incarnation(seen) < first+2
	}
	w.mu.Unlock()
	var last v1beta1.Machine
	err := wait.PollUntilContextTimeout(w.t.Context(), pollEvery, patience, true, func(context.Context) (bool, error) {
		w.live()
		last = w.machineObjects()[0]
		return last.Status.Repair != nil && last.Status.Repair.HealthySince != nil && last.Status.Phase == v1beta1.MachineReady, nil
	})
	if err != nil {
		w.t.Fatalf("the node was not repaired: %+v\n%s", last.Status.Repair, w.dump())
	}
	w.mu.Lock()
	boots := most[first]
	w.ill = nil
	w.mu.Unlock()
	repair := last.Status.Repair
	var actions []v1beta1.RepairAction
	for _, done := range repair.History {
		actions = append(actions, done.Action)
	}
	if !slices.Equal(actions, []v1beta1.RepairAction{v1beta1.RepairRedeploy, v1beta1.RepairReimage, v1beta1.RepairReboot}) || repair.Count != 3 {
		w.t.Errorf("done: %v, %d in all", actions, repair.Count)
	}
	if now := incarnation(w.machine()); now != first+2 || boots != 2 || most[first+1] != 1 {
		w.t.Errorf("the machine is incarnation %d after %d; it booted %v times", now, first, most)
	}
	var evidence corev1.SecretList
	if err := w.client.List(w.t.Context(), &evidence, client.InNamespace(v1beta1.MachineNamespace(clusterID)), client.MatchingLabels{v1beta1.LabelEvidence: "true"}); err != nil {
		w.t.Fatal(err)
	}
	if len(evidence.Items) != 2 {
		w.t.Errorf("%d sets of evidence, want one for the reimage and one for the redeploy", len(evidence.Items))
	}
}

// machine is what is seen of the only machine.
func (w *world) machine() machine.Observation {
	w.t.Helper()
	for ref := range w.machines.Machines() {
		seen, err := w.machines.Observe(w.t.Context(), ref)
		if err != nil {
			w.t.Fatal(err)
		}
		return seen
	}
	w.t.Fatal("there is no machine")
	return machine.Observation{}
}

func incarnation(seen machine.Observation) int {
	n, _ := strconv.Atoi(seen.Incarnation)
	return n
}
