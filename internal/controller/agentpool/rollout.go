package agentpool

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

// surgePatience is how long surge nodes may wait for room before the upgrade goes
// on with fewer of them (AKS: upgrade-options, capacity).
const surgePatience = 5 * time.Minute

// noRoom starts what a machine says that the management cluster has no room for.
const noRoom = "Unschedulable"

// rollout is all that the next steps of an upgrade depend on.
type rollout struct {
	goal  aim
	count int32
	// surge is how many nodes may be added and unavailable how many may be missing.
	// Without a surge nodes are replaced in place; with one, none may be missing.
	surge, unavailable int32
	// cordon goes on without a node that cannot be drained (AKS: undrainableNodeBehavior).
	cordon   bool
	machines []v1beta1.Machine
	now      time.Time
	// patience is how long a node may take to become Ready.
	patience time.Duration
}

// rolloutPlan is what to do next. All of it may be repeated.
type rolloutPlan struct {
	// addSurge is how many surge nodes to make.
	addSurge int32
	// retarget are nodes to drain and reimage now.
	retarget []*v1beta1.Machine
	// quarantine are nodes that are left cordoned as they are, and promote surge
	// nodes that stay in their place.
	quarantine, promote []*v1beta1.Machine
	// remove are surge nodes that have served.
	remove []*v1beta1.Machine
	// surge is how many surge nodes the upgrade goes on with.
	surge int32
	// nodes are all to replace and replaced those that were.
	nodes, replaced int32
	waiting         string
	// done says that every node is replaced and the surge is gone.
	done    bool
	failure *v1beta1.OperationError
}

// steps says whether anything is to be done to a machine.
func (p *rolloutPlan) steps() bool {
	return p.addSurge > 0 || len(p.retarget)+len(p.quarantine)+len(p.promote)+len(p.remove) > 0
}

// fleet sorts a pool's machines by their part in an upgrade.
type fleet struct {
	// stale are as they were, moving on their way and fresh replaced and Ready.
	stale, moving, fresh []*v1beta1.Machine
	surge, quarantined   []*v1beta1.Machine
	leavingSurge         bool
}

func muster(r rollout) fleet {
	var f fleet
	for i := range r.machines {
		m := &r.machines[i]
		switch {
		case !m.DeletionTimestamp.IsZero():
			f.leavingSurge = f.leavingSurge || m.Spec.Surge
		case m.Spec.Quarantined:
			f.quarantined = append(f.quarantined, m)
		case m.Spec.Surge:
			f.surge = append(f.surge, m)
		case specVersions(m) != r.goal.of(m):
			f.stale = append(f.stale, m)
		case serves(m):
			f.fresh = append(f.fresh, m)
		default:
			f.moving = append(f.moving, m)
		}
	}
	for _, list := range [][]*v1beta1.Machine{f.stale, f.moving, f.fresh, f.surge} {
		slices.SortFunc(list, byOrdinal)
	}
	return f
}

func byOrdinal(a, b *v1beta1.Machine) int {
	first, _ := machine.Ordinal(a.Name)
	second, _ := machine.Ordinal(b.Name)
	return cmp.Compare(first, second)
}

// serves says whether a machine carries a Ready node that is as its spec says.
func serves(m *v1beta1.Machine) bool {
	return m.Status.Phase == v1beta1.MachineReady && specVersions(m) == madeVersions(m) &&
		m.Annotations[machine.AnnotationSettled] == strconv.FormatInt(m.Generation, 10)
}

// runs says whether a machine's node takes pods, whatever its labels show.
func runs(m *v1beta1.Machine) bool {
	return m.Status.Phase == v1beta1.MachineReady && specVersions(m) == madeVersions(m)
}

// planRollout decides the next steps of an upgrade (AKS:
// upgrade-aks-node-pools-rolling): surge nodes are added; when they are Ready as
// many nodes are replaced at once; a replaced node buffers the next; at the end the
// surge nodes go.
func planRollout(r rollout) rolloutPlan {
	f := muster(r)
	plan := rolloutPlan{surge: r.surge, nodes: int32(len(f.stale) + len(f.moving) + len(f.fresh)), replaced: int32(len(f.fresh))}
	if plan.failure = stuck(r, f); plan.failure != nil {
		return plan
	}
	quarantine(r, &f, &plan)
	promote(r, &f, &plan)
	if len(f.stale)+len(f.moving) == 0 && int32(len(f.fresh)) >= r.count {
		plan.remove = f.surge
		plan.done = len(f.surge) == 0 && !f.leavingSurge && !plan.steps()
		plan.waiting = waitingForEnd(f)
		if plan.done && len(f.quarantined) > 0 {
			plan.failure = undrained(f.quarantined)
		}
		return plan
	}
	if fallBack(r, f, &plan); plan.failure != nil {
		return plan
	}
	if len(f.stale) > 0 {
		wanted := min(plan.surge, int32(len(f.stale)+len(f.moving)))
		plan.addSurge = max(0, wanted-int32(len(f.surge)-len(plan.remove)))
	}
	start(r, f, &plan)
	plan.waiting = waitingFor(f, plan)
	return plan
}

// stuck is why an upgrade cannot go on: a node that cannot be drained, or one that
// does not come back.
func stuck(r rollout, f fleet) *v1beta1.OperationError {
	blocked := int32(len(f.quarantined))
	for _, m := range f.moving {
		if ended := m.Status.DrainEnded; ended != nil && r.now.Sub(ended.Time) > r.patience+soakOf(m) {
			return &v1beta1.OperationError{
				Code:    CodeUpgradeFailed,
				Message: fmt.Sprintf("Node %s was not Ready within %s after it was drained: %s", m.Spec.NodeName, r.patience, describe(m, string(m.Status.Phase))),
				Target:  m.Spec.NodeName,
			}
		}
		if m.Status.Phase != v1beta1.MachineBlocked {
			continue
		}
		// maxBlockedNodes is maxSurge by default (AKS: upgrade-options).
		if blocked++; !r.cordon || blocked > max(1, r.surge) {
			return drainFailed(m)
		}
	}
	return nil
}

func soakOf(m *v1beta1.Machine) time.Duration {
	if m.Spec.Soak == nil {
		return 0
	}
	return m.Spec.Soak.Duration
}

// drainFailed is AKS's error (error-code-poddrainfailure).
func drainFailed(m *v1beta1.Machine) *v1beta1.OperationError {
	return &v1beta1.OperationError{
		Code: CodeUpgradeFailed,
		Message: fmt.Sprintf("Drain of node %s did not complete in time: eviction is blocked by %s. This is often caused by a restrictive Pod Disruption Budget (PDB). "+
			"Mend what blocks it and upgrade again: the upgrade goes on where it stopped.", m.Spec.NodeName, cmp.Or(m.Status.DrainBlocker, "an API server that does not answer")),
		Target: m.Spec.NodeName,
	}
}

func undrained(machines []*v1beta1.Machine) *v1beta1.OperationError {
	names := make([]string, 0, len(machines))
	for _, m := range machines {
		names = append(names, m.Spec.NodeName)
	}
	slices.Sort(names)
	return &v1beta1.OperationError{
		Code: CodeUpgradeFailed,
		Message: fmt.Sprintf("Nodes that could not be drained are quarantined and not upgraded: %s. Mend what blocks their pods and update the agent pool: they are removed then.",
			strings.Join(names, ", ")),
	}
}

// quarantine leaves aside what cannot be drained.
func quarantine(r rollout, f *fleet, plan *rolloutPlan) {
	if !r.cordon {
		return
	}
	f.moving = slices.DeleteFunc(f.moving, func(m *v1beta1.Machine) bool {
		if m.Status.Phase != v1beta1.MachineBlocked {
			return false
		}
		plan.quarantine, f.quarantined = append(plan.quarantine, m), append(f.quarantined, m)
		return true
	})
}

// promote keeps surge nodes in the place of nodes that were left aside.
func promote(r rollout, f *fleet, plan *rolloutPlan) {
	slices.SortStableFunc(f.surge, func(a, b *v1beta1.Machine) int { return cmp.Compare(worth[b.Status.Phase], worth[a.Status.Phase]) })
	for len(f.quarantined) > 0 && len(f.surge) > 0 && int32(len(f.stale)+len(f.moving)+len(f.fresh)) < r.count {
		m := f.surge[0]
		f.surge = f.surge[1:]
		plan.promote = append(plan.promote, m)
		if serves(m) {
			f.fresh = append(f.fresh, m)
		} else {
			f.moving = append(f.moving, m)
		}
	}
}

// fallBack goes on with one surge node where there is no room for more, then in
// place where that is allowed, and gives up when neither can be.
func fallBack(r rollout, f fleet, plan *rolloutPlan) {
	for _, m := range f.surge {
		age := r.now.Sub(m.CreationTimestamp.Time)
		short := m.Status.Phase == v1beta1.MachinePending && strings.HasPrefix(m.Status.Message, noRoom)
		switch {
		case serves(m):
		case short && age > surgePatience && r.surge > 1:
			plan.surge = 1
		case short && age > surgePatience && r.unavailable > 0:
			plan.surge = 0
		case age > r.patience:
			plan.failure = &v1beta1.OperationError{
				Code:    CodeUpgradeFailed,
				Message: fmt.Sprintf("Surge node %s was not Ready within %s: %s", m.Spec.NodeName, r.patience, describe(m, string(m.Status.Phase))),
				Target:  m.Spec.NodeName,
			}
			return
		}
	}
	if plan.surge < r.surge {
		// Those that found room are first in the list.
		for _, m := range f.surge[min(int(plan.surge), len(f.surge)):] {
			if !runs(m) {
				plan.remove = append(plan.remove, m)
			}
		}
	}
}

// start chooses the nodes to replace now: never so many that fewer than the count
// serve, or than the count less those that may be missing.
func start(r rollout, f fleet, plan *rolloutPlan) {
	missing := int32(0)
	if plan.surge == 0 {
		missing = max(1, r.unavailable)
	}
	buffer := int32(0)
	for _, m := range f.surge {
		if runs(m) {
			buffer++
		}
	}
	serving := buffer
	for _, m := range slices.Concat(f.stale, f.fresh) {
		if runs(m) {
			serving++
		}
	}
	spare, slots := serving-(r.count-missing), buffer+missing-int32(len(f.moving))
	// Nodes that do not serve cost nothing to replace.
	slices.SortStableFunc(f.stale, func(a, b *v1beta1.Machine) int {
		return cmp.Compare(worth[a.Status.Phase], worth[b.Status.Phase])
	})
	for _, m := range f.stale {
		if slots <= 0 || runs(m) && spare <= 0 {
			break
		}
		if runs(m) {
			spare--
		}
		slots--
		plan.retarget = append(plan.retarget, m)
	}
}
