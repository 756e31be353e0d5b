package agentpool

import (
	"cmp"
	"maps"
	"slices"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

// Plan is what brings the machines of a pool to what its spec says.
type Plan struct {
	// Create is how many machines to make, from ordinal First on.
	Create int32
	First  int32
	// Delete and Update are machines to remove and to give new labels and taints.
	Delete []*v1beta1.Machine
	Update []*v1beta1.Machine
}

// Empty says whether there is nothing to do.
func (p Plan) Empty() bool { return p.Create == 0 && len(p.Delete) == 0 && len(p.Update) == 0 }

// MakePlan compares the machines with what is wanted: count of them, with the
// labels and taints of the template. Machines that are being deleted do not
// count, nor do those that an upgrade added or left aside. Ordinals below next were
// used before.
func MakePlan(count, next int32, template v1beta1.MachineSpec, machines []v1beta1.Machine) Plan {
	var plan Plan
	var alive, aside []*v1beta1.Machine
	plan.First = next
	for i := range machines {
		m := &machines[i]
		if ordinal, err := machine.Ordinal(m.Name); err == nil {
			plan.First = max(plan.First, ordinal+1)
		}
		switch {
		case !m.DeletionTimestamp.IsZero():
		case m.Spec.Surge, m.Spec.Quarantined:
			aside = append(aside, m)
		default:
			alive = append(alive, m)
		}
	}
	slices.SortFunc(alive, byWorth)
	surplus := max(0, len(alive)-int(count))
	plan.Create = max(0, count-int32(len(alive)))
	plan.Delete = alive[:surplus:surplus]
	for _, m := range append(alive[surplus:], aside...) {
		if !maps.Equal(m.Spec.Labels, template.Labels) || !slices.Equal(m.Spec.Taints, template.Taints) {
			plan.Update = append(plan.Update, m)
		}
	}
	return plan
}

// worth orders the phases by how little is lost with a machine.
var worth = map[v1beta1.MachinePhase]int{
	"":                      0,
	v1beta1.MachinePending:  0,
	v1beta1.MachineReimaged: 0,
	v1beta1.MachineOff:      0,
	v1beta1.MachineBooting:  1,
	v1beta1.MachineJoined:   2,
	v1beta1.MachineSoaking:  2,
	v1beta1.MachineDraining: 2,
	v1beta1.MachineBlocked:  2,
	v1beta1.MachineReady:    3,
}

// byWorth puts first what goes first when a pool shrinks: machines that carry no
// Ready node, and among equals the newest (AKS: scale-cluster).
func byWorth(a, b *v1beta1.Machine) int {
	first, _ := machine.Ordinal(a.Name)
	second, _ := machine.Ordinal(b.Name)
	return cmp.Or(
		cmp.Compare(worth[a.Status.Phase], worth[b.Status.Phase]),
		cmp.Compare(second, first),
		cmp.Compare(b.Name, a.Name),
	)
}
