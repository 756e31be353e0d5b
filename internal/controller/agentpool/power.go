package agentpool

import (
	"context"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// powerDown takes all machines of a pool away that is to be stopped. An upgrade
// that is asked for meanwhile is applied when it starts (AKS: start-stop-nodepools).
func (r *Reconciler) powerDown(ctx context.Context, v *view, cluster *v1beta1.ManagedCluster) error {
	v.stage, v.template = stageSettled, template(v.pool, cluster, poolVersions(v.pool))
	var all []*v1beta1.Machine
	for i := range v.machines {
		all = append(all, &v.machines[i])
	}
	return r.deleteAll(ctx, all)
}

// wantedCount is how many machines there should be: those that were deleted through the
// IaaS view are missing (G4). A stopped pool keeps its count
// and has none (AKS: start-stop-nodepools).
func (v view) wantedCount() int32 {
	switch {
	case v.off:
		return 0
	case v.pool.Spec.Count == nil:
		return max(0, 1-v.missing())
	default:
		return max(0, *v.pool.Spec.Count-v.missing())
	}
}

// power is the code that the pool should have.
func (v view) power() v1beta1.PowerCode {
	if v.off {
		return v1beta1.PowerStopped
	}
	return v1beta1.PowerRunning
}

// poweredOff says whether the pool's nodes shall be away: it is to be stopped, or all
// nodes of its cluster are.
func poweredOff(pool *v1beta1.AgentPool, cluster *v1beta1.ManagedCluster) bool {
	return pool.Spec.PowerState.Wanted() == v1beta1.PowerStopped || policy.NodesAway(cluster)
}
