package autoupgrade

import (
	"fmt"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// requester is who begins the operations.
const requester = "berth/autoupgrade"

// schedules in the order in which they get their turn: another Kubernetes version
// brings the newest node image along.
var schedules = []string{v1beta1.MaintenanceAutoUpgrade, v1beta1.MaintenanceNodeOS}

// versionWork is the next step of the cluster's channel: the control plane, and
// with it all pools that are behind.
func versionWork(o *observation, versions policy.Versions) work {
	spec, running := &o.cluster.Spec, o.cluster.Status.CurrentKubernetesVersion
	if !policy.UpgradesVersions(spec.AutoUpgradeProfile) || running == "" {
		return work{}
	}
	target, blocked := versions.ChannelTarget(spec.AutoUpgradeProfile.UpgradeChannel, running)
	if target == "" && blocked == "" && len(o.behind(running)) > 0 {
		target = running
	}
	if target == "" {
		return work{blocked: blocked}
	}
	desired := &v1beta1.DesiredState{Cluster: spec.DeepCopy(), AgentPools: o.behind(target)}
	desired.Cluster.KubernetesVersion = target
	return work{target: target, parts: []part{{
		key: string(o.cluster.UID), name: "the cluster",
		spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationPut, State: v1beta1.StateUpgrading, RequestedBy: requester, Desired: desired,
			Target: v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: o.cluster.Name, ResourceID: operation.ClusterID(o.cluster)},
		},
	}}}
}

// behind are the specs of the pools that run less than a version, which they get.
func (o *observation) behind(version string) []v1beta1.AgentPoolSpec {
	var specs []v1beta1.AgentPoolSpec
	for i := range o.pools {
		pool := &o.pools[i]
		runs := pool.Status.CurrentOrchestratorVersion
		if runs == "" || release.Compare(runs, version) >= 0 || waits(pool, pool.Spec.OrchestratorVersion == version) {
			continue
		}
		spec := pool.Spec.DeepCopy()
		spec.OrchestratorVersion = version
		specs = append(specs, *spec)
	}
	return specs
}

// waits says whether a stopped pool was asked for something already, which it gets
// when it starts (AKS: auto-upgrade-cluster).
func waits(pool *v1beta1.AgentPool, asked bool) bool {
	return asked && pool.Status.PowerState.Code == v1beta1.PowerStopped
}

// imageWork brings the newest node image to each pool that has an older one.
func imageWork(o *observation, catalogue *release.Catalogue) work {
	newest := catalogue.NodeImageVersion
	if !policy.UpgradesNodeImages(o.cluster.Spec.AutoUpgradeProfile) || newest == "" {
		return work{}
	}
	var todo work
	for i := range o.pools {
		pool := &o.pools[i]
		has := pool.Status.NodeImageVersion
		if has == "" || release.CompareNodeImages(has, newest) >= 0 || waits(pool, pool.Spec.NodeImageVersion == newest) {
			continue
		}
		if !catalogue.HasNewestImage(pool.Status.CurrentOrchestratorVersion) {
			todo.blocked = fmt.Sprintf("node image %s is not there for Kubernetes %s, which node pool %s runs: upgrade the pool", newest, pool.Status.CurrentOrchestratorVersion, pool.Spec.Name)
			continue
		}
		spec := pool.Spec.DeepCopy()
		spec.NodeImageVersion = newest
		todo.parts = append(todo.parts, part{
			key: string(pool.UID), name: "node pool " + pool.Spec.Name,
			spec: v1beta1.OperationSpec{
				Type: v1beta1.OperationPut, State: v1beta1.StateUpgradingNodeImage, RequestedBy: requester,
				Desired: &v1beta1.DesiredState{AgentPools: []v1beta1.AgentPoolSpec{*spec}},
				Target: v1beta1.OperationTarget{
					Kind: v1beta1.TargetAgentPool, Name: pool.Name, ResourceID: operation.ClusterID(o.cluster) + "/agentPools/" + pool.Spec.Name,
				},
			},
		})
	}
	if len(todo.parts) > 0 {
		todo.target = newest
	}
	return todo
}

// keys are those of all parts that a schedule's run can have.
func (o *observation) keys(schedule string) []string {
	if schedule == v1beta1.MaintenanceAutoUpgrade {
		return []string{string(o.cluster.UID)}
	}
	keys := make([]string, 0, len(o.pools))
	for i := range o.pools {
		keys = append(keys, string(o.pools[i].UID))
	}
	return keys
}

// operationName names the operation of a part of a run.
func operationName(cluster *v1beta1.ManagedCluster, run v1beta1.AutoUpgradeStatus, key string) string {
	return operation.NameOf("autoupgrade", string(cluster.UID), run.Schedule, run.LastTarget, run.LastRun.UTC().Format(time.RFC3339), key)
}
