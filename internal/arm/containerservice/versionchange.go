package containerservice

import (
	"context"
	"slices"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

// versionChange is what a request makes of the versions of a cluster and its pools.
type versionChange struct {
	policy.Versions
	// running is the control plane's version, target the one that it is to have.
	running, target string
	pools           []policy.PoolVersion
	// rollsBack says that the nodes of its pools go back to what they had, which may be
	// another node image alone.
	rollsBack bool
}

// versionChange compares what runs with what is asked for. profiles are the pools
// that the request names; the others stay.
func (p provider) versionChange(v *view, spec *v1beta1.ManagedClusterSpec, profiles []v1beta1.AgentPoolProfile) versionChange {
	change := versionChange{
		Versions: policy.Versions{Catalogue: p.Catalogue, Plan: spec.SupportPlan, Now: p.Now()},
		running:  v.running(),
	}
	change.target, _ = change.Target(spec.KubernetesVersion, change.running)
	for i := range v.pools {
		pool := &v.pools[i]
		one := policy.PoolVersion{Name: pool.Spec.Name, Running: v.poolRunning(pool)}
		one.Asked, _ = change.PoolTarget(pool.Spec.OrchestratorVersion, one.Running, change.running)
		one.Wanted = one.Asked
		named := slices.IndexFunc(profiles, func(profile v1beta1.AgentPoolProfile) bool { return profile.Name == pool.Spec.Name })
		if named >= 0 {
			one.Wanted = wanted(change, profiles[named].OrchestratorVersion, one.Running)
		}
		change.pools = append(change.pools, one)
	}
	return change
}

// poolChange is versionChange for a request of one pool, beside the control plane
// that runs. A new pool changes nothing that is there.
func (p provider) poolChange(v *view, profile v1beta1.AgentPoolProfile) versionChange {
	change := versionChange{
		Versions: policy.Versions{Catalogue: p.Catalogue, Plan: v.cluster.Spec.SupportPlan, Now: p.Now()},
		running:  v.running(), target: v.running(),
	}
	if pool := v.pool(profile.Name); pool != nil {
		running := v.poolRunning(pool)
		change.pools = []policy.PoolVersion{{Name: profile.Name, Running: running, Wanted: wanted(change, profile.OrchestratorVersion, running)}}
	}
	return change
}

// wanted is the version that a pool asks for beside the new control plane. What is
// not in the catalogue stays as it was asked for, for policy to refuse.
func wanted(change versionChange, asked, running string) string {
	if version, ok := change.PoolTarget(asked, running, change.target); ok {
		return version
	}
	return asked
}

// state is what the operation is called while it runs.
func (c versionChange) state() v1beta1.ProvisioningState {
	moves := func(pool policy.PoolVersion) bool { return pool.Wanted != pool.Running }
	if c.target != c.running || slices.ContainsFunc(c.pools, moves) {
		return v1beta1.StateUpgrading
	}
	return v1beta1.StateUpdating
}

// around is what policy must know of a pool's cluster.
func (c versionChange) around(v *view) policy.PoolsInput {
	return policy.PoolsInput{Network: v.cluster.Spec.NetworkProfile, ClusterVersion: c.target, Versions: c.Versions}
}

// refusePreview refuses versions that are previews, and that the subscription has not
// registered for (L1).
func (p provider) refusePreview(ctx context.Context, r *arm.Request, versions policy.Versions, moves []policy.VersionMove) error {
	move, feature, found := versions.Preview(moves)
	if !found {
		return nil
	}
	return p.RequireFeature(ctx, r, feature, move.Target, "Kubernetes "+move.To)
}

// newVersions are those of a cluster that is not there yet.
func newVersions(versions policy.Versions, spec *v1beta1.ManagedClusterSpec) []policy.VersionMove {
	target, _ := versions.Target(spec.KubernetesVersion, "")
	moves := []policy.VersionMove{{Target: "kubernetesVersion", To: target}}
	for i := range spec.AgentPoolProfiles {
		version, _ := versions.PoolTarget(spec.AgentPoolProfiles[i].OrchestratorVersion, "", target)
		moves = append(moves, policy.VersionMove{Target: poolVersionField, To: version})
	}
	return moves
}

// poolVersionField is the field of a pool's version in a cluster.
const poolVersionField = "agentPoolProfile.orchestratorVersion"

// moves are the versions that the change asks for.
func (c versionChange) moves() []policy.VersionMove {
	moves := []policy.VersionMove{{Target: "kubernetesVersion", From: c.running, To: c.target}}
	for _, pool := range c.pools {
		moves = append(moves, policy.VersionMove{Target: poolVersionField, From: pool.Running, To: pool.Wanted})
	}
	return moves
}
