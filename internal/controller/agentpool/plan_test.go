package agentpool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

const poolObject = "group.cluster.pool"

func machineAt(ordinal int32, phase v1beta1.MachinePhase) v1beta1.Machine {
	return v1beta1.Machine{
		ObjectMeta: metav1.ObjectMeta{Name: machine.ObjectName(poolObject, ordinal), Generation: 1,
			Annotations: map[string]string{machine.AnnotationSettled: "1"}},
		Spec: v1beta1.MachineSpec{
			ClusterID: "id", NodeName: machine.NodeName("pool", "id", ordinal),
			KubernetesVersion: "1.37.2", NodeImageVersion: "BerthDebian-12containerd-202601.01.0",
		},
		Status: v1beta1.MachineStatus{
			Phase: phase, KubernetesVersion: "1.37.2", NodeImageVersion: "BerthDebian-12containerd-202601.01.0",
		},
	}
}

func leavingAt(ordinal int32) v1beta1.Machine {
	m := machineAt(ordinal, v1beta1.MachineDraining)
	now := metav1.Now()
	m.DeletionTimestamp = &now
	return m
}

func ordinals(t *testing.T, machines []*v1beta1.Machine) []int32 {
	t.Helper()
	var all []int32
	for _, m := range machines {
		ordinal, err := machine.Ordinal(m.Name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ordinal)
	}
	return all
}

func TestPlan(t *testing.T) {
	ready, booting, pending := v1beta1.MachineReady, v1beta1.MachineBooting, v1beta1.MachinePending
	for _, c := range []struct {
		why      string
		count    int32
		next     int32
		machines []v1beta1.Machine
		create   int32
		first    int32
		remove   []int32
	}{
		{"a new pool starts at zero, with all machines at once", 3, 0, nil, 3, 0, nil},
		{"nothing to do", 1, 1, []v1beta1.Machine{machineAt(0, ready)}, 0, 1, nil},
		{"a name that was used is not used again though its machine is gone", 2, 5, []v1beta1.Machine{machineAt(0, ready)}, 1, 5, nil},
		{"a machine that the status does not know yet keeps its name", 2, 0, []v1beta1.Machine{machineAt(0, ready)}, 1, 1, nil},
		{"a machine that leaves does not count and keeps its name", 1, 1, []v1beta1.Machine{leavingAt(4)}, 1, 5, nil},
		{"the newest goes first", 1, 3, []v1beta1.Machine{machineAt(0, ready), machineAt(2, ready), machineAt(1, ready)}, 0, 3, []int32{2, 1}},
		{"what is not Ready goes before what is", 2, 3, []v1beta1.Machine{machineAt(0, booting), machineAt(1, ready), machineAt(2, ready)}, 0, 3, []int32{0}},
		{"what is least far goes first", 1, 3, []v1beta1.Machine{machineAt(0, pending), machineAt(1, booting), machineAt(2, ready)}, 0, 3, []int32{0, 1}},
		{"a user pool may shrink to nothing", 0, 2, []v1beta1.Machine{machineAt(0, ready), machineAt(1, ready)}, 0, 2, []int32{1, 0}},
		{"two that leave are not replaced by removing more", 1, 3, []v1beta1.Machine{machineAt(0, ready), leavingAt(1), leavingAt(2)}, 0, 3, nil},
	} {
		plan := MakePlan(c.count, c.next, v1beta1.MachineSpec{}, c.machines)
		if got := ordinals(t, plan.Delete); plan.Create != c.create || plan.First != c.first || !slices.Equal(got, c.remove) {
			t.Errorf("%s: create %d from %d, delete %v; want %d from %d, %v", c.why, plan.Create, plan.First, got, c.create, c.first, c.remove)
		}
	}
}

func TestPlanUpdatesInPlace(t *testing.T) {
	template := v1beta1.MachineSpec{Labels: map[string]string{"a": "1"}, Taints: []string{"k=v:NoSchedule"}}
	same, label, taint := machineAt(0, v1beta1.MachineReady), machineAt(1, v1beta1.MachineReady), machineAt(2, v1beta1.MachineReady)
	same.Spec.Labels, same.Spec.Taints = template.Labels, template.Taints
	label.Spec.Labels, label.Spec.Taints = map[string]string{"a": "2"}, template.Taints
	taint.Spec.Labels = template.Labels
	plan := MakePlan(3, 3, template, []v1beta1.Machine{same, label, taint})
	if got := ordinals(t, plan.Update); !slices.Equal(got, []int32{2, 1}) || plan.Create != 0 || len(plan.Delete) != 0 {
		t.Errorf("plan %+v, update %v; want machines 2 and 1 updated and nothing else", plan, got)
	}
}

// However a pool stands, its plan ends with the right number of machines, no name
// is used twice, and no Ready machine goes while one that is not stays.
func TestPlanProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	phases := []v1beta1.MachinePhase{"", v1beta1.MachinePending, v1beta1.MachineBooting, v1beta1.MachineJoined, v1beta1.MachineReady}
	for round := range 3000 {
		var machines []v1beta1.Machine
		alive := 0
		for _, ordinal := range random.Perm(40)[:random.IntN(12)] {
			if random.IntN(4) == 0 {
				machines = append(machines, leavingAt(int32(ordinal)))
				continue
			}
			alive++
			machines = append(machines, machineAt(int32(ordinal), phases[random.IntN(len(phases))]))
		}
		count, next := int32(random.IntN(12)), int32(random.IntN(50))
		plan := MakePlan(count, next, v1beta1.MachineSpec{}, machines)
		name := fmt.Sprintf("round %d: count %d, next %d, %d machines, plan %+v", round, count, next, len(machines), plan)
		if alive-len(plan.Delete)+int(plan.Create) != int(count) || plan.Create > 0 && len(plan.Delete) > 0 {
			t.Fatalf("%s: ends with another count", name)
		}
		if plan.First < next {
			t.Fatalf("%s: takes a reserved name", name)
		}
		checkChoice(t, name, machines, plan)
	}
}

func checkChoice(t *testing.T, name string, machines []v1beta1.Machine, plan Plan) {
	t.Helper()
	gone := map[string]bool{}
	for _, m := range plan.Delete {
		gone[m.Name] = true
	}
	for _, m := range machines {
		if ordinal, _ := machine.Ordinal(m.Name); ordinal >= plan.First {
			t.Fatalf("%s: would use the name of %s again", name, m.Name)
		}
		if gone[m.Name] && !m.DeletionTimestamp.IsZero() {
			t.Fatalf("%s: deletes %s, which leaves already", name, m.Name)
		}
		for _, other := range plan.Delete {
			if m.DeletionTimestamp.IsZero() && !gone[m.Name] && worth[m.Status.Phase] < worth[other.Status.Phase] {
				t.Fatalf("%s: deletes %s (%s) and keeps %s (%s)", name, other.Name, other.Status.Phase, m.Name, m.Status.Phase)
			}
		}
	}
}
