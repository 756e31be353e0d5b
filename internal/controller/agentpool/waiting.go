package agentpool

import (
	"fmt"

	"berth.dev/berth/api/v1beta1"
)

// waitingFor says in one line what an upgrade waits for.
func waitingFor(f fleet, plan rolloutPlan) string {
	for _, m := range f.moving {
		switch m.Status.Phase {
		case v1beta1.MachineDraining:
			if m.Status.DrainBlocker != "" {
				return fmt.Sprintf("node %s drains: %s", m.Spec.NodeName, m.Status.DrainBlocker)
			}
			return fmt.Sprintf("node %s drains", m.Spec.NodeName)
		case v1beta1.MachineSoaking:
			return fmt.Sprintf("node %s soaks", m.Spec.NodeName)
		default:
			return describe(m, "is reimaged")
		}
	}
	if len(plan.retarget) > 0 {
		return ""
	}
	for _, m := range f.surge {
		if !runs(m) {
			return "surge " + describe(m, "starts")
		}
	}
	if plan.addSurge > 0 {
		return "surge nodes"
	}
	return ""
}

// waitingForEnd is waitingFor when all nodes are replaced.
func waitingForEnd(f fleet) string {
	if len(f.surge) > 0 || f.leavingSurge {
		return "the surge nodes to leave"
	}
	return ""
}
