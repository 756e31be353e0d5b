package triage

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// networkNone is the network plugin and the policy engine that are not there.
const networkNone = "none"

// Observe collects what Berth itself knows of a cluster: its supportability, what is
// broken and what is being repaired. newest is the newest node image. What only the
// cluster's own API server knows is left out.
func Observe(cluster *v1beta1.ManagedCluster, pools []v1beta1.AgentPool, machines []v1beta1.Machine, newest string) Evidence {
	spec, status := &cluster.Spec, &cluster.Status
	e := Evidence{
		Cluster: true, Stopped: status.PowerState.Code == v1beta1.PowerStopped,
		OwnCNI:       spec.NetworkProfile.NetworkPlugin == networkNone,
		PolicyEngine: spec.NetworkProfile.NetworkPolicy != "" && spec.NetworkProfile.NetworkPolicy != networkNone,
	}
	if status.Support != nil {
		e.Findings = slices.Clone(status.Support.Findings)
	}
	if c := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionAddonsContested); c != nil && c.Status == metav1.ConditionTrue {
		e.Contested = append(e.Contested, c.Message)
	}
	for i := range pools {
		e.pool(&pools[i], newest)
	}
	if e.Stopped {
		return e
	}
	for _, kind := range []string{v1beta1.ConditionControlPlaneReady, v1beta1.ConditionAddonsApplied} {
		if c := meta.FindStatusCondition(status.Conditions, kind); c != nil && c.Status == metav1.ConditionFalse {
			e.Faults = append(e.Faults, fmt.Sprintf("%s is False: %s", kind, c.Message))
		}
	}
	for i := range machines {
		if machines[i].Spec.ClusterID == spec.ID {
			e.machine(&machines[i])
		}
	}
	return e
}

// pool takes in what patches a node pool has, and by whom.
func (e *Evidence) pool(pool *v1beta1.AgentPool, newest string) {
	if has := pool.Status.NodeImageVersion; has != "" && has != newest {
		e.Behind = append(e.Behind, fmt.Sprintf("%s has %s, the newest is %s", pool.Spec.Name, has, newest))
	}
	if pool.Status.UnmanagedOS {
		e.SelfPatched = append(e.SelfPatched, pool.Spec.Name)
	}
}

// machine takes in what ails a machine's node and what is done about it.
func (e *Evidence) machine(machine *v1beta1.Machine) {
	repair := machine.Status.Repair
	if repair == nil || repair.Stage == "" {
		return
	}
	node := machine.Spec.NodeName
	if repair.Reason != "" {
		e.Faults = append(e.Faults, fmt.Sprintf("node %s is ill: %s, %s", node, repair.Reason, repair.Message))
	}
	switch {
	case repair.Held != "":
		e.Repairs = append(e.Repairs, fmt.Sprintf("node %s waits: %s", node, repair.Held))
	case repair.Stage == v1beta1.RepairActing && repair.ActionStarted != nil:
		e.Repairs = append(e.Repairs, fmt.Sprintf("node %s: %s since %s", node, repair.Action, stamp(repair.ActionStarted.Time)))
	case repair.NextAction != "" && repair.NextTime != nil:
		e.Repairs = append(e.Repairs, fmt.Sprintf("node %s: %s at %s if it stays ill", node, repair.NextAction, stamp(repair.NextTime.Time)))
	}
}
