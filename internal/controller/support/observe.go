package support

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/support"
	"berth.dev/berth/internal/release"
)

// observation is a cluster with the evidence on it.
type observation struct {
	cluster  *v1beta1.ManagedCluster
	pools    []v1beta1.AgentPool
	evidence support.Evidence
	plan     policy.SupportPlan
	now      time.Time
}

// observe reads all that decisions need.
func (r *reconciler) observe(ctx context.Context, reader client.Reader, cluster *v1beta1.ManagedCluster) (*observation, error) {
	o := &observation{cluster: cluster, now: r.Now()}
	var service v1beta1.ServicePolicy
	if err := reader.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read service policy: %w", err)
	}
	o.plan = policy.Support(service.Spec)
	var subscription v1beta1.Subscription
	key := client.ObjectKey{Name: strings.TrimPrefix(cluster.Namespace, v1beta1.SubscriptionNamespace(""))}
	if err := reader.Get(ctx, key, &subscription); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read subscription: %w", err)
	}
	o.evidence.Subscription = subscription.Spec.State
	of := []client.ListOption{client.InNamespace(cluster.Namespace), client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}}
	var pools v1beta1.AgentPoolList
	if err := reader.List(ctx, &pools, of...); err != nil {
		return nil, fmt.Errorf("list agent pools: %w", err)
	}
	var machines v1beta1.MachineList
	if err := reader.List(ctx, &machines, of...); err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	o.pools = slices.DeleteFunc(pools.Items, func(pool v1beta1.AgentPool) bool { return !pool.DeletionTimestamp.IsZero() })
	slices.SortFunc(o.pools, func(a, b v1beta1.AgentPool) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(machines.Items, func(a, b v1beta1.Machine) int { return strings.Compare(a.Name, b.Name) })
	o.power()
	o.versions(policy.Versions{Catalogue: r.Catalogue, Plan: cluster.Spec.SupportPlan, Now: o.now})
	o.machines(machines.Items)
	if err := o.tags(ctx, reader); err != nil {
		return nil, err
	}
	r.webhooks(ctx, o)
	return o, nil
}

// power sees whether the cluster is stopped. One that is stopping or starting is not.
func (o *observation) power() {
	spec, status := &o.cluster.Spec, &o.cluster.Status
	o.evidence.Stopped = policy.PowerPhaseOf(spec.PowerState, status.PowerState) == policy.PhaseStopped
	condition := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionStopped)
	if o.evidence.Stopped && condition != nil && condition.Status == metav1.ConditionTrue {
		o.evidence.StoppedSince = condition.LastTransitionTime.Time
	}
	if archive := status.Archive; o.evidence.Stopped && archive != nil && archive.Phase == v1beta1.Archived {
		o.evidence.ArchivedSince = archive.PhaseTime.Time
	}
	o.evidence.Archivable = o.evidence.Stopped && o.evidence.ArchivedSince.IsZero() && status.Initialized && status.Backup != nil
}

// versions collects those that run, and the images of nodes. A stopped pool has no
// nodes that could be out of date: it gets what it was asked to have when it starts.
func (o *observation) versions(versions policy.Versions) {
	add := func(part, version string) {
		if version != "" {
			o.evidence.Versions = append(o.evidence.Versions, support.Version{Part: part, Version: version, State: versions.SupportOf(version)})
		}
	}
	add("the control plane", o.cluster.Status.CurrentKubernetesVersion)
	for i := range o.pools {
		pool := &o.pools[i]
		if o.evidence.Stopped || pool.Status.PowerState.Code == v1beta1.PowerStopped || pool.Status.Count == 0 {
			continue
		}
		add("node pool "+pool.Spec.Name, pool.Status.CurrentOrchestratorVersion)
		if built, ok := release.NodeImageDay(pool.Status.NodeImageVersion); ok {
			o.evidence.Images = append(o.evidence.Images, support.Image{Pool: pool.Spec.Name, Version: pool.Status.NodeImageVersion, Built: built})
		}
	}
}

// machines sees whether any machine runs, and what was changed on nodes. While the
// service itself is at work, and before the cluster was ever up, missing machines tell
// nothing.
func (o *observation) machines(machines []v1beta1.Machine) {
	o.removed()
	runs, own := false, 0
	for i := range machines {
		machine := &machines[i]
		if machine.Spec.ClusterID != o.cluster.Spec.ID {
			continue
		}
		own++
		runs = runs || running(machine)
		o.instance(machine)
		if change := machine.Status.ChangedMetadata; change != nil {
			o.evidence.Changes = append(o.evidence.Changes, support.Change{Node: machine.Spec.NodeName, MetadataChange: *change})
		}
	}
	settled, wanted := o.settled(), o.cluster.Status.Initialized && o.cluster.Spec.PowerState.Wanted() == v1beta1.PowerRunning
	// A pool that has machines missing, or none yet, has machines that should be there.
	o.evidence.AllOff = settled && !runs && len(o.evidence.Off) > 0 && len(o.evidence.Off) == own
	o.evidence.NoNodes, o.evidence.NodesUnknown = settled && !runs, wanted && !settled && !runs
}

// running says whether a machine runs, as far as is known.
func running(m *v1beta1.Machine) bool {
	return m.Status.Phase != "" && m.Status.Phase != v1beta1.MachinePending && m.Status.Off == nil
}

// settled says whether the cluster and its pools are as they were asked for.
func (o *observation) settled() bool {
	status := &o.cluster.Status
	changing := func(pool v1beta1.AgentPool) bool { return !pool.Status.ProvisioningState.Terminal() }
	return status.Initialized && status.ProvisioningState.Terminal() && !slices.ContainsFunc(o.pools, changing) &&
		policy.PowerPhaseOf(o.cluster.Spec.PowerState, status.PowerState) == policy.PhaseRunning && !policy.NodesAway(o.cluster)
}
