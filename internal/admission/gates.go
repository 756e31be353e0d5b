package admission

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/support"
)

// gateCluster refuses a change of the control plane's minor that deprecated APIs hold
// up. A request through ARM was looked at before it was written.
func (r *clusterRules) gateCluster(ctx context.Context, cluster *v1beta1.ManagedCluster, running string) error {
	target, ok := r.versions(cluster).Target(cluster.Spec.KubernetesVersion, running)
	if r.Preflight == nil || !ok || target == running || policy.UpgradeForced(cluster.Spec.UpgradeSettings, r.Now()) {
		return nil
	}
	if holder, err := operation.Active(ctx, r.Reader, cluster); err != nil || holder != nil {
		return err
	}
	gates := policy.Gates{Now: r.Now()}
	var err error
	if gates.Uses, err = r.Preflight.Uses(ctx, cluster); err != nil {
		return unreadable(err)
	}
	if gates.Window, err = r.Preflight.Window(ctx); err != nil {
		return err
	}
	return refusal("ManagedCluster", cluster.Name, gates.BlockingAPIs(running, target))
}

// gatePool refuses a change of a pool's version or node image that disruption budgets
// hold up.
func (r *poolRules) gatePool(ctx context.Context, cluster *v1beta1.ManagedCluster, old *v1beta1.AgentPoolProfile, pool *v1beta1.AgentPool) error {
	running := pool.Status.CurrentOrchestratorVersion
	target, ok := r.versions(cluster).PoolTarget(pool.Spec.OrchestratorVersion, running, r.running(cluster))
	asked := pool.Spec.NodeImageVersion
	stays := target == running && (asked == "" || asked == old.NodeImageVersion || asked == pool.Status.NodeImageVersion)
	if r.Preflight == nil || running == "" || !ok || stays || policy.UpgradeForced(cluster.Spec.UpgradeSettings, r.Now()) {
		return nil
	}
	for _, object := range []client.Object{pool, cluster} {
		if holder, err := operation.Active(ctx, r.Reader, object); err != nil || holder != nil {
			return err
		}
	}
	budgets, err := r.Preflight.Budgets(ctx, cluster, []string{pool.Spec.Name})
	if err != nil {
		return unreadable(err)
	}
	return refusal("AgentPool", pool.Name, policy.Gates{Budgets: budgets, Now: r.Now()}.BlockingBudgets())
}

// stopTime is how long a cluster is asked for its webhooks.
const stopTime = 5 * time.Second

// gateStop is why the cluster's own webhooks would hold its stop up (AKS:
// start-stop-cluster). A request through ARM was looked at before it was written, and what
// the service stops by itself is not asked about, nor is a cluster whose stop or start came
// to nothing.
func (r *clusterRules) gateStop(ctx context.Context, old, cluster *v1beta1.ManagedCluster) ([]policy.Violation, error) {
	if policy.PowerPhaseOf(old.Spec.PowerState, old.Status.PowerState) != policy.PhaseRunning {
		return nil, nil
	}
	if r.StopWebhooks == nil || cluster.Spec.PowerState.Wanted() != v1beta1.PowerStopped {
		return nil, nil
	}
	if holder, err := operation.Active(ctx, r.Reader, cluster); err != nil || holder != nil {
		return nil, err
	}
	// Of one that does not answer nobody could drain the nodes either; who asks here waits
	// no longer than 10 seconds in all.
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	hooks, _ := r.StopWebhooks(ctx, cluster)
	return support.RefuseStop(hooks), nil
}

func unreadable(err error) error {
	return apierrors.NewBadRequest(fmt.Sprintf("the cluster's API server does not answer, so that the checks before an upgrade cannot be made: %v; try again later, or set spec.upgradeSettings.overrideSettings.forceUpgrade", err))
}
