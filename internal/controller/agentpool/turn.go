package agentpool

import (
	"fmt"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/release"
)

// stage is how far a pool is from what its nodes shall be made of.
type stage string

const (
	// stageSettled: no node is to be replaced.
	stageSettled stage = "Settled"
	// stageWaiting: nodes are to be replaced, and something comes first.
	stageWaiting stage = "Waiting"
	// stageDue: nodes are to be replaced, from now on.
	stageDue stage = "Due"
	// stageRolling: nodes are being replaced.
	stageRolling stage = "Rolling"
	// stageHalted: the replacement stopped; what is asked for next resumes it.
	stageHalted stage = "Halted"
)

// contender is a pool as far as it matters for whose turn it is.
type contender struct {
	name string
	// operation is what asked for the pool's spec; empty for kubectl.
	operation string
	// due: the pool waits to be upgraded. running: its upgrade has begun.
	due, running bool
	// failed: what was asked for last came to nothing.
	failed bool
}

// order is where a pool stands in line: what it waits for, or why it will never
// be its turn.
type order struct {
	wait    string
	failure *v1beta1.OperationError
}

// lineUp decides whether it is a pool's turn: pools of a cluster are upgraded one
// at a time, by name, after the control plane and never ahead of it (AKS:
// upgrade-aks-cluster). When one of them fails, those that the same operation asked
// for are left alone.
func lineUp(mine contender, goal versions, cluster *v1beta1.ManagedCluster, others []contender) order {
	runs := cluster.Status.CurrentKubernetesVersion
	if release.Compare(goal.kubernetes, runs) > 0 {
		if mine.operation != "" && cluster.Status.ProvisioningState == v1beta1.StateFailed && cluster.Status.ObservedOperation == mine.operation {
			return order{failure: leftAlone(mine.name, fmt.Sprintf("the control plane is still on %s", runs))}
		}
		return order{wait: fmt.Sprintf("the control plane, which runs %s", runs)}
	}
	if held := behindComponents(mine, cluster); held != (order{}) {
		return held
	}
	for _, other := range others {
		if other.failed && other.operation != "" && other.operation == mine.operation {
			return order{failure: leftAlone(mine.name, fmt.Sprintf("the upgrade of agent pool %s failed", other.name))}
		}
	}
	for _, other := range others {
		if other.running || other.due && other.name < mine.name {
			return order{wait: "agent pool " + other.name}
		}
	}
	return order{}
}

// behindComponents has a pool wait for the components of the version that its control
// plane runs, if whoever asks for the pool asks for the control plane too, and leaves it
// alone once that came to nothing: not before, as the operation's error is the control
// plane's.
func behindComponents(mine contender, cluster *v1beta1.ManagedCluster) order {
	up := cluster.Status.Upgrade
	if up == nil || mine.operation == "" || cluster.Annotations[v1beta1.AnnotationOperation] != mine.operation {
		return order{}
	}
	failed := up.Operation == mine.operation && cluster.Status.ObservedOperation == mine.operation && cluster.Status.ProvisioningState == v1beta1.StateFailed
	switch {
	case up.Phase == v1beta1.UpgradeIncomplete && failed:
		return order{failure: leftAlone(mine.name, "the upgrade of the control plane is incomplete")}
	case up.Phase == v1beta1.UpgradeIncomplete, up.Phase == v1beta1.UpgradeComponents:
		return order{wait: "the managed components of " + up.To}
	}
	return order{}
}

func leftAlone(pool, why string) *v1beta1.OperationError {
	return &v1beta1.OperationError{
		Code:    CodeUpgradeFailed,
		Message: fmt.Sprintf("Agent pool %s was not upgraded: %s. Upgrade it again when that is mended.", pool, why),
		Target:  pool,
	}
}

// contend sums up another pool.
func contend(catalogue *release.Catalogue, pool *v1beta1.AgentPool, cluster *v1beta1.ManagedCluster) contender {
	c := contender{
		name: pool.Spec.Name, operation: pool.Annotations[v1beta1.AnnotationOperation],
		running: runningUpgrade(pool) != nil,
	}
	c.failed = pool.Status.ProvisioningState == v1beta1.StateFailed && !newAttempt(pool)
	goal, failure := target(catalogue, pool, cluster)
	// A pool that is stopped has no nodes to replace: it gets what was asked for when it starts.
	c.due = failure == nil && !gaveUp(pool) && !poweredOff(pool, cluster) && pool.DeletionTimestamp.IsZero() &&
		pool.Status.CurrentOrchestratorVersion != "" && goal != poolVersions(pool)
	return c
}

// gaveUp says whether what was asked for last was given up, or aborted.
func gaveUp(pool *v1beta1.AgentPool) bool {
	state := pool.Status.ProvisioningState
	return operation.Aborted(pool) || !newAttempt(pool) && (state == v1beta1.StateFailed || state == v1beta1.StateCanceled)
}

// stageOf is a pool's stage as far as the pool alone tells.
func stageOf(pool *v1beta1.AgentPool, goal versions, machines []v1beta1.Machine) stage {
	upgrade := runningUpgrade(pool)
	switch {
	case operation.Aborted(pool) && due(pool, goal, machines):
		return stageHalted
	case upgrade != nil && upgradeVersions(upgrade) == goal:
		return stageRolling
	case !due(pool, goal, machines):
		return stageSettled
	case gaveUp(pool):
		return stageHalted
	default:
		return stageDue
	}
}

// due says whether any node is to be replaced, or is left of a replacement that
// was given up.
func due(pool *v1beta1.AgentPool, goal versions, machines []v1beta1.Machine) bool {
	if pool.Status.CurrentOrchestratorVersion == "" {
		return false
	}
	if goal != poolVersions(pool) {
		return true
	}
	for i := range machines {
		m := &machines[i]
		behind := m.Spec.KubernetesVersion != goal.kubernetes || m.Spec.UnmanagedOS != goal.unmanaged || release.CompareNodeImages(m.Spec.NodeImageVersion, goal.image) < 0
		if m.DeletionTimestamp.IsZero() && (behind || m.Spec.Surge || m.Spec.Quarantined) {
			return true
		}
	}
	return false
}
