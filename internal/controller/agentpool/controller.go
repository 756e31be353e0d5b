package agentpool

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/release"
)

// Config is what the controller works with.
type Config struct {
	Catalogue *release.Catalogue
	// Now is the system's clock when nil.
	Now func() time.Time
}

// Reconciler reconciles AgentPools.
type Reconciler struct {
	client client.Client
	reader client.Reader
	Config
	// starting keeps two pools of a cluster from both finding that it is their turn.
	starting sync.Mutex
	log      activity.Recorder
}

// New returns a Reconciler that writes with c and reads what must be current with
// reader, which must not be a cache.
func New(c client.Client, reader client.Reader, config Config) *Reconciler {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Reconciler{client: c, reader: reader, Config: config, log: activity.Quiet(c, "berth/agentpool", config.Now)}
}

// conflictAgain is how soon to look again when the cache lagged behind a write.
const conflictAgain = 50 * time.Millisecond

// turnAgain is how soon a pool looks again whether it is its turn.
const turnAgain = 2 * time.Second

// Reconcile brings one pool nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	pool := &v1beta1.AgentPool{}
	if err := r.client.Get(ctx, request.NamespacedName, pool); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	result, err := r.reconcile(ctx, pool)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictAgain}, nil
	}
	return result, err
}

func (r *Reconciler) reconcile(ctx context.Context, pool *v1beta1.AgentPool) (ctrl.Result, error) {
	if !pool.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.remove(ctx, pool)
	}
	if controllerutil.AddFinalizer(pool, v1beta1.Finalizer) {
		if err := r.client.Update(ctx, pool); err != nil {
			return ctrl.Result{}, fmt.Errorf("hold agent pool %s: %w", pool.Name, err)
		}
	}
	cluster, err := r.cluster(ctx, r.client, pool)
	if err != nil {
		return ctrl.Result{}, err
	}
	if r.ofNewer(pool, cluster) {
		return ctrl.Result{RequeueAfter: operation.TakeoverAgain}, nil
	}
	v := view{pool: pool, now: r.Now()}
	if cluster != nil && cluster.DeletionTimestamp.IsZero() && cluster.Status.ControlPlaneAddress != "" {
		err = r.converge(ctx, &v, cluster)
	} else {
		v.machines, err = r.machines(ctx, r.client, pool)
	}
	return r.report(ctx, v, err)
}

// ofNewer says whether a pool is left to a newer build of Berth: the version or node image
// that it asks for is not known here, and may be there.
func (r *Reconciler) ofNewer(pool *v1beta1.AgentPool, cluster *v1beta1.ManagedCluster) bool {
	if cluster == nil || !operation.MayBeOfNewer(pool, r.Now()) {
		return false
	}
	_, unknown := target(r.Catalogue, pool, cluster)
	return unknown != nil
}

// converge takes the steps of the plan and leaves in v what it saw.
func (r *Reconciler) converge(ctx context.Context, v *view, cluster *v1beta1.ManagedCluster) error {
	var err error
	if v.machines, err = r.machines(ctx, r.client, v.pool); err != nil {
		return err
	}
	v.off = poweredOff(v.pool, cluster)
	if err := r.instances(ctx, v); err != nil {
		return err
	}
	if v.off {
		return r.powerDown(ctx, v, cluster)
	}
	if v.goal, v.failure = target(r.Catalogue, v.pool, cluster); v.failure != nil {
		return nil
	}
	if err := r.advance(ctx, v, cluster); err != nil || v.failure != nil {
		return err
	}
	plan := v.plan()
	if plan.Empty() {
		return nil
	}
	// The cache may not show what the last pass made or removed.
	if v.machines, err = r.machines(ctx, r.reader, v.pool); err != nil {
		return err
	}
	plan = v.plan()
	if err := r.create(ctx, v, cluster, newMachines{plan.First, plan.Create, false}); err != nil {
		return err
	}
	for _, m := range plan.Update {
		m.Spec.Labels, m.Spec.Taints = maps.Clone(v.template.Labels), slices.Clone(v.template.Taints)
		if err := r.client.Update(ctx, m); err != nil {
			return fmt.Errorf("update machine %s: %w", m.Name, err)
		}
	}
	return r.deleteAll(ctx, plan.Delete)
}

func (v *view) plan() Plan {
	return MakePlan(v.wantedCount(), v.pool.Status.NextOrdinal, v.template, v.machines)
}

// newMachines are count machines from ordinal first on.
type newMachines struct {
	first, count int32
	surge        bool
}

// create writes down which ordinals are taken before it takes one, so that no
// name is ever used twice: not even if this process dies and the machine is gone
// before the next one looks.
func (r *Reconciler) create(ctx context.Context, v *view, cluster *v1beta1.ManagedCluster, wanted newMachines) error {
	if wanted.count == 0 {
		return nil
	}
	// The cache may not show yet that the cluster is stopped: then nobody would take
	// the machines' Nodes away.
	if current, err := r.cluster(ctx, r.reader, v.pool); err != nil || current == nil || poweredOff(v.pool, current) {
		return err
	}
	v.pool.Status.NextOrdinal = wanted.first + wanted.count
	if err := r.client.Status().Update(ctx, v.pool); err != nil {
		return fmt.Errorf("reserve machine names of %s: %w", v.pool.Name, err)
	}
	for ordinal := wanted.first; ordinal < wanted.first+wanted.count; ordinal++ {
		m := r.newMachine(v, cluster, ordinal)
		if m.Spec.Surge = wanted.surge; wanted.surge {
			applyUpgradeSettings(&m.Spec, v.pool)
		}
		if err := r.client.Create(ctx, m); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create machine %s: %w", m.Name, err)
		}
		v.machines = append(v.machines, *m)
	}
	return nil
}

func (r *Reconciler) newMachine(v *view, cluster *v1beta1.ManagedCluster, ordinal int32) *v1beta1.Machine {
	pool := v.pool
	m := &v1beta1.Machine{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:  pool.Namespace,
			Name:       machine.ObjectName(pool.Name, ordinal),
			Finalizers: []string{v1beta1.Finalizer},
			Labels: map[string]string{
				v1beta1.LabelClusterID:     cluster.Spec.ID,
				v1beta1.LabelResourceGroup: operation.LabelValue(v1beta1.ObjectName(pool.Spec.ResourceGroup)),
				v1beta1.LabelCluster:       operation.LabelValue(cluster.Name),
				v1beta1.LabelAgentPool:     operation.LabelValue(pool.Name),
			},
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(pool, v1beta1.GroupVersion.WithKind("AgentPool")),
			},
		},
		Spec: *v.template.DeepCopy(),
	}
	m.Spec.NodeName = machine.NodeName(pool.Spec.Name, cluster.Spec.ID, ordinal)
	return m
}

// template is the spec of the pool's new machines, without a name.
func template(pool *v1beta1.AgentPool, cluster *v1beta1.ManagedCluster, of versions) v1beta1.MachineSpec {
	labels := maps.Clone(pool.Spec.NodeLabels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels["kubernetes.azure.com/mode"] = strings.ToLower(pool.Spec.Mode)
	labels["kubernetes.azure.com/os-sku"] = pool.Spec.OSSKU
	return v1beta1.MachineSpec{
		ClusterID:         cluster.Spec.ID,
		Cluster:           cluster.Name,
		AgentPool:         pool.Name,
		VMSize:            pool.Spec.VMSize,
		KubernetesVersion: of.kubernetes,
		NodeImageVersion:  of.image,
		UnmanagedOS:       of.unmanaged,
		MaxPods:           pool.Spec.MaxPods,
		OSDiskSizeGB:      pool.Spec.OSDiskSizeGB,
		Labels:            labels,
		Taints:            slices.Clone(pool.Spec.NodeTaints),
	}
}

// remove deletes the machines and lets the pool go when none is left.
func (r *Reconciler) remove(ctx context.Context, pool *v1beta1.AgentPool) error {
	if !controllerutil.ContainsFinalizer(pool, v1beta1.Finalizer) {
		return nil
	}
	machines, err := r.machines(ctx, r.reader, pool)
	if err != nil {
		return err
	}
	var all []*v1beta1.Machine
	for i := range machines {
		all = append(all, &machines[i])
	}
	if err := r.passBudgets(ctx, pool, all); err != nil {
		return err
	}
	if err := r.deleteAll(ctx, all); err != nil {
		return err
	}
	if len(machines) > 0 {
		_, err := r.report(ctx, view{pool: pool, machines: machines, now: r.Now()}, nil)
		return err
	}
	controllerutil.RemoveFinalizer(pool, v1beta1.Finalizer)
	if err := client.IgnoreNotFound(r.client.Update(ctx, pool)); err != nil {
		return fmt.Errorf("release agent pool %s: %w", pool.Name, err)
	}
	return nil
}

// passBudgets has the machines of a pool that is deleted drained past disruption
// budgets, where that was asked for: also of those whose drain has begun.
func (r *Reconciler) passBudgets(ctx context.Context, pool *v1beta1.AgentPool, machines []*v1beta1.Machine) error {
	if pool.Annotations[v1beta1.AnnotationIgnoreBudgets] != "true" {
		return nil
	}
	for _, m := range machines {
		if m.Spec.ForceDrain {
			continue
		}
		m.Spec.ForceDrain = true
		if err := client.IgnoreNotFound(r.client.Update(ctx, m)); err != nil {
			return fmt.Errorf("have machine %s drained past budgets: %w", m.Name, err)
		}
	}
	return nil
}

func (r *Reconciler) deleteAll(ctx context.Context, machines []*v1beta1.Machine) error {
	for _, m := range machines {
		if !m.DeletionTimestamp.IsZero() {
			continue
		}
		uid := m.UID
		if err := client.IgnoreNotFound(r.client.Delete(ctx, m, client.Preconditions{UID: &uid})); err != nil {
			return fmt.Errorf("delete machine %s: %w", m.Name, err)
		}
	}
	return nil
}

func (r *Reconciler) machines(ctx context.Context, reader client.Reader, pool *v1beta1.AgentPool) ([]v1beta1.Machine, error) {
	var list v1beta1.MachineList
	selector := client.MatchingLabels{v1beta1.LabelAgentPool: operation.LabelValue(pool.Name)}
	if err := reader.List(ctx, &list, client.InNamespace(pool.Namespace), selector); err != nil {
		return nil, fmt.Errorf("list machines of agent pool %s: %w", pool.Name, err)
	}
	return slices.DeleteFunc(list.Items, func(m v1beta1.Machine) bool { return m.Spec.AgentPool != pool.Name }), nil
}

func (r *Reconciler) cluster(ctx context.Context, reader client.Reader, pool *v1beta1.AgentPool) (*v1beta1.ManagedCluster, error) {
	cluster := &v1beta1.ManagedCluster{}
	key := client.ObjectKey{Namespace: pool.Namespace, Name: v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName)}
	err := reader.Get(ctx, key, cluster)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read cluster of agent pool %s: %w", pool.Name, err)
	}
	return cluster, nil
}

// report writes the status, if it changed, and says when to look again.
func (r *Reconciler) report(ctx context.Context, v view, cause error) (ctrl.Result, error) {
	if cause != nil {
		return ctrl.Result{}, cause
	}
	var err error
	if v.timeout, err = r.timeout(ctx, v); err != nil {
		return ctrl.Result{}, err
	}
	status := nextStatus(v)
	var result ctrl.Result
	if !status.ProvisioningState.Terminal() {
		result.RequeueAfter = time.Minute
	}
	if v.stage == stageWaiting && v.failure == nil {
		result.RequeueAfter = turnAgain
	}
	if equality.Semantic.DeepEqual(status, v.pool.Status) {
		return result, nil
	}
	r.tellEnd(ctx, v.pool, status)
	v.pool.Status = status
	if err := r.client.Status().Update(ctx, v.pool); err != nil {
		return result, fmt.Errorf("report agent pool %s: %w", v.pool.Name, err)
	}
	return result, nil
}
