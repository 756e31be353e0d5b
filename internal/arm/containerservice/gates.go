package containerservice

import (
	"context"
	"net/http"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

// refuseBlocked refuses an upgrade that something in the cluster would hold up,
// before anything is touched: budgets on the nodes of pools that are to be replaced,
// and, where the control plane changes its minor, the use of APIs that go with it.
// The cluster's override lets it pass (AKS: upgrade-options).
func (p provider) refuseBlocked(ctx context.Context, cluster *v1beta1.ManagedCluster, spec *v1beta1.ManagedClusterSpec, change versionChange) error {
	var pools []string
	for _, pool := range change.pools {
		if pool.Wanted != pool.Running || change.rollsBack {
			pools = append(pools, pool.Name)
		}
	}
	upgrades := change.target != change.running
	// Where nothing runs there is nothing to ask, and no node to drain.
	away := policy.PowerOf(cluster, change.Now).Phase.ComesBackByPut()
	if p.Preflight == nil || away || policy.UpgradeForced(spec.UpgradeSettings, change.Now) || !upgrades && len(pools) == 0 {
		return nil
	}
	gates := policy.Gates{Now: change.Now}
	var err error
	if len(pools) > 0 {
		if gates.Budgets, err = p.Preflight.Budgets(ctx, cluster, pools); err != nil {
			return unreadable(err)
		}
	}
	if upgrades {
		if gates.Uses, err = p.Preflight.Uses(ctx, cluster); err != nil {
			return unreadable(err)
		}
		if gates.Window, err = p.Preflight.Window(ctx); err != nil {
			return err
		}
	}
	violations := append(gates.BlockingAPIs(change.running, change.target), gates.BlockingBudgets()...)
	if len(violations) > 0 {
		return arm.Refusal(violations)
	}
	return nil
}

// refuseBlockedNodes is refuseBlocked for a pool whose nodes are replaced while its
// version stays.
func (p provider) refuseBlockedNodes(ctx context.Context, cluster *v1beta1.ManagedCluster, pool string) error {
	// Any two versions that differ say that the nodes are replaced.
	change := versionChange{Versions: policy.Versions{Now: p.Now()}, pools: []policy.PoolVersion{{Name: pool, Wanted: "another image"}}}
	return p.refuseBlocked(ctx, cluster, &cluster.Spec, change)
}

// unreadable refuses an upgrade of which nobody can say what it would break.
func unreadable(err error) error {
	return arm.Errorf(http.StatusConflict, "KubernetesAPICallFailed",
		"The cluster's API server does not answer, so that the checks before an upgrade cannot be made: %v. Try again later, or set upgradeSettings.overrideSettings.forceUpgrade.", err)
}
