package agentpool

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/event"
)

var errCacheLags = errors.New("the cache lags behind")

// advance takes the next steps of the pool's upgrade, if there is one, and says in
// v of which versions new machines are made.
func (r *Reconciler) advance(ctx context.Context, v *view, cluster *v1beta1.ManagedCluster) error {
	v.stage = stageOf(v.pool, v.goal, v.machines)
	if v.stage == stageDue || v.stage == stageRolling {
		if err := r.mustBeCurrent(ctx, v.pool); err != nil {
			return err
		}
	}
	if v.stage == stageDue {
		if err := r.takeTurn(ctx, v); err != nil || v.failure != nil {
			return err
		}
	}
	of := v.goal
	if v.stage == stageWaiting || v.stage == stageHalted {
		of = poolVersions(v.pool)
	}
	v.template = template(v.pool, cluster, of)
	switch v.stage {
	case stageRolling:
		return r.roll(ctx, v, cluster)
	case stageHalted:
		return r.halt(ctx, v)
	}
	return nil
}

// mustBeCurrent returns a conflict for a pool that the cache has not caught up with:
// an upgrade that has just been given up must not take another step.
func (r *Reconciler) mustBeCurrent(ctx context.Context, pool *v1beta1.AgentPool) error {
	stored := &v1beta1.AgentPool{}
	if err := r.reader.Get(ctx, client.ObjectKeyFromObject(pool), stored); err != nil {
		return fmt.Errorf("read agent pool %s: %w", pool.Name, err)
	}
	if stored.ResourceVersion != pool.ResourceVersion {
		return apierrors.NewConflict(v1beta1.GroupVersion.WithResource("agentpools").GroupResource(), pool.Name, errCacheLags)
	}
	return nil
}

// takeTurn starts the pool's upgrade if it is its turn. Only one pool at a time
// looks, and at what is surely current.
func (r *Reconciler) takeTurn(ctx context.Context, v *view) error {
	r.starting.Lock()
	defer r.starting.Unlock()
	// An operation asks the cluster before its pools: a cache may know of the pool alone.
	cluster, err := r.cluster(ctx, r.reader, v.pool)
	if err != nil {
		return err
	}
	if cluster == nil {
		v.stage, v.waiting = stageWaiting, "the cluster, which is gone"
		return nil
	}
	var list v1beta1.AgentPoolList
	selector := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
	if err := r.reader.List(ctx, &list, client.InNamespace(v.pool.Namespace), selector); err != nil {
		return fmt.Errorf("list agent pools of %s: %w", cluster.Name, err)
	}
	var others []contender
	for i := range list.Items {
		if list.Items[i].Name != v.pool.Name {
			others = append(others, contend(r.Catalogue, &list.Items[i], cluster))
		}
	}
	turn := lineUp(contend(r.Catalogue, v.pool, cluster), v.goal, cluster, others)
	if turn.failure != nil || turn.wait != "" {
		v.stage, v.failure, v.waiting = stageWaiting, turn.failure, turn.wait
		return nil
	}
	return r.begin(ctx, v, cluster)
}

// begin removes what an earlier upgrade left, and writes down what this one does
// before it does it.
func (r *Reconciler) begin(ctx context.Context, v *view, cluster *v1beta1.ManagedCluster) error {
	var err error
	if v.machines, err = r.machines(ctx, r.reader, v.pool); err != nil {
		return err
	}
	var left []*v1beta1.Machine
	for i := range v.machines {
		if m := &v.machines[i]; m.Spec.Surge || m.Spec.Quarantined {
			left = append(left, m)
		}
	}
	if err := r.deleteAll(ctx, left); err != nil {
		return err
	}
	asked, err := r.askedAt(ctx, v)
	if err != nil {
		return err
	}
	r.tellRolling(ctx, v.pool, event.ReasonRollingStarted, fmt.Sprint(v.pool.Generation, v.pool.Annotations[v1beta1.AnnotationOperation], v.goal),
		"the nodes are replaced by ones of "+v.goal.String())
	now := metav1.NewTime(v.now)
	v.pool.Status.Upgrade = &v1beta1.PoolUpgrade{
		OrchestratorVersion: v.goal.kubernetes, NodeImageVersion: v.goal.image, UnmanagedOS: v.goal.unmanaged,
		Force: policy.UpgradeForced(cluster.Spec.UpgradeSettings, asked), StartTime: now, ProgressTime: &now,
		Surge: surgeCount(v.pool.Spec.UpgradeSettings, v.wantedCount()),
		Nodes: v.wantedCount(),
	}
	if err := r.client.Status().Update(ctx, v.pool); err != nil {
		return fmt.Errorf("begin the upgrade of agent pool %s: %w", v.pool.Name, err)
	}
	v.stage = stageRolling
	return nil
}

// askedAt is when the operation began that asked for the upgrade: an override of gates and
// budgets that held then holds for every pool of it, however long those before take (AKS:
// upgrade-options).
func (r *Reconciler) askedAt(ctx context.Context, v *view) (time.Time, error) {
	name := v.pool.Annotations[v1beta1.AnnotationOperation]
	if name == "" {
		return v.now, nil
	}
	var op v1beta1.Operation
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: v.pool.Namespace, Name: name}, &op)
	if apierrors.IsNotFound(err) {
		return v.now, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read operation %s: %w", name, err)
	}
	return op.CreationTimestamp.Time, nil
}

// surgeCount is how many nodes an upgrade adds: at least one, unless nodes may be
// missing instead.
func surgeCount(settings *v1beta1.UpgradeSettings, count int32) int32 {
	if unavailableCount(settings, count) > 0 {
		return int32(policy.Surge(settings, int(count)))
	}
	return max(1, int32(policy.Surge(settings, int(count))))
}

func unavailableCount(settings *v1beta1.UpgradeSettings, count int32) int32 {
	return int32(policy.Unavailable(settings, int(count)))
}

// applyUpgradeSettings tells a machine how its pool wants nodes to be drained.
func applyUpgradeSettings(spec *v1beta1.MachineSpec, pool *v1beta1.AgentPool) {
	spec.DrainTimeout, spec.Soak = nil, nil
	if settings := pool.Spec.UpgradeSettings; settings != nil {
		spec.DrainTimeout = minutes(settings.DrainTimeoutInMinutes)
		spec.Soak = minutes(settings.NodeSoakDurationInMinutes)
	}
	upgrade := runningUpgrade(pool)
	spec.ForceDrain = upgrade != nil && upgrade.Force
}

func minutes(count *int32) *metav1.Duration {
	if count == nil || *count == 0 {
		return nil
	}
	return &metav1.Duration{Duration: time.Duration(*count) * time.Minute}
}

// roll takes the next steps of an upgrade that has begun.
func (r *Reconciler) roll(ctx context.Context, v *view, cluster *v1beta1.ManagedCluster) error {
	var err error
	if v.machines, err = r.machines(ctx, r.reader, v.pool); err != nil {
		return err
	}
	periods, err := r.periods(ctx)
	if err != nil {
		return err
	}
	count, settings := v.wantedCount(), v.pool.Spec.UpgradeSettings
	v.rollout = planRollout(rollout{
		goal: aimOf(v.goal, v.pool), count: count, surge: v.pool.Status.Upgrade.Surge, unavailable: unavailableCount(settings, count),
		cordon:   settings != nil && settings.UndrainableNodeBehavior == policy.UndrainableCordon,
		machines: v.machines, now: v.now, patience: periods.create,
	})
	v.rollout.standStill(v, periods)
	if v.rollout.failure != nil || v.rollout.done {
		return nil
	}
	if err := r.change(ctx, v); err != nil {
		return err
	}
	if err := r.deleteAll(ctx, v.rollout.remove); err != nil {
		return err
	}
	return r.create(ctx, v, cluster, newMachines{v.plan().First + v.plan().Create, v.rollout.addSurge, true})
}

// standStill gives up an upgrade in which nothing has happened for longer than
// anything in it may take.
func (p *rolloutPlan) standStill(v *view, limits periods) {
	upgrade := v.pool.Status.Upgrade
	since := upgrade.StartTime.Time
	if upgrade.ProgressTime != nil {
		since = upgrade.ProgressTime.Time
	}
	var spec v1beta1.MachineSpec
	applyUpgradeSettings(&spec, v.pool)
	limit := limits.create + limits.drain
	if spec.DrainTimeout != nil {
		limit = limits.create + spec.DrainTimeout.Duration
	}
	if spec.Soak != nil {
		limit += spec.Soak.Duration
	}
	if p.failure == nil && !p.done && !p.steps() && v.now.Sub(since) > limit {
		p.failure = &v1beta1.OperationError{
			Code:    CodeUpgradeFailed,
			Message: fmt.Sprintf("The upgrade of agent pool %s has not come further for %s; it waits for %s", v.pool.Spec.Name, limit, p.waiting),
			Target:  v.pool.Spec.Name,
		}
	}
}

// change writes what a step of the upgrade makes of machines that are there.
func (r *Reconciler) change(ctx context.Context, v *view) error {
	for _, m := range v.rollout.quarantine {
		remake(m, madeVersions(m))
		m.Spec.Quarantined, m.Spec.ForceDrain = true, false
	}
	for _, m := range v.rollout.promote {
		m.Spec.Surge = false
	}
	for _, m := range v.rollout.retarget {
		remake(m, aimOf(v.goal, v.pool).of(m))
		applyUpgradeSettings(&m.Spec, v.pool)
	}
	for _, list := range [][]*v1beta1.Machine{v.rollout.quarantine, v.rollout.promote, v.rollout.retarget} {
		for _, m := range list {
			if err := r.client.Update(ctx, m); err != nil {
				return fmt.Errorf("upgrade machine %s: %w", m.Name, err)
			}
		}
	}
	return nil
}

// halt puts back what an upgrade that was given up had begun, and then removes its
// surge. A node that is being made anew already is finished.
func (r *Reconciler) halt(ctx context.Context, v *view) error {
	var err error
	if v.machines, err = r.machines(ctx, r.reader, v.pool); err != nil {
		return err
	}
	var surge []*v1beta1.Machine
	away := false
	for i := range v.machines {
		m := &v.machines[i]
		away = away || !m.Spec.Surge && replacing(m)
		switch made := madeVersions(m); {
		case !m.DeletionTimestamp.IsZero():
		case m.Spec.Surge:
			surge = append(surge, m)
		case made.kubernetes != "" && made != specVersions(m) && m.Status.Phase != v1beta1.MachineReimaged:
			remake(m, made)
			m.Spec.ForceDrain = false
			if err := r.client.Update(ctx, m); err != nil {
				return fmt.Errorf("put back machine %s: %w", m.Name, err)
			}
		}
	}
	// Until every node that the upgrade touched takes pods again, the surge is needed.
	if away {
		return nil
	}
	return r.deleteAll(ctx, surge)
}

// replacing says whether an upgrade has a node drained or made anew.
func replacing(m *v1beta1.Machine) bool {
	switch m.Status.Phase {
	case v1beta1.MachineDraining, v1beta1.MachineBlocked, v1beta1.MachineSoaking, v1beta1.MachineReimaged:
		return true
	default:
		return m.Status.DrainEnded != nil
	}
}
