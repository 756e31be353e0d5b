package agentpool

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"berth.dev/berth/api/v1beta1"
)

const workers = 4

// AKS's figures, where ServicePolicy has none.
const (
	defaultCreateTimeout = 30 * time.Minute
	defaultDrainTimeout  = 30 * time.Minute
)

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, config Config) error {
	r := New(mgr.GetClient(), mgr.GetAPIReader(), config)
	err := ctrl.NewControllerManagedBy(mgr).Named("agentpool").
		For(&v1beta1.AgentPool{}).
		Owns(&v1beta1.Machine{}).
		Watches(&v1beta1.ManagedCluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](20*time.Millisecond, 30*time.Second),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up agent pool controller: %w", err)
	}
	return nil
}

func (r *Reconciler) ofCluster(ctx context.Context, object client.Object) []reconcile.Request {
	var pools v1beta1.AgentPoolList
	if err := r.client.List(ctx, &pools, client.InNamespace(object.GetNamespace())); err != nil {
		return nil
	}
	var requests []reconcile.Request
	for _, pool := range pools.Items {
		if v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName) == object.GetName() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&pool)})
		}
	}
	return requests
}

// periods are the service policy's.
type periods struct{ create, drain time.Duration }

func (r *Reconciler) periods(ctx context.Context) (periods, error) {
	policy := &v1beta1.ServicePolicy{}
	err := r.client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, policy)
	if client.IgnoreNotFound(err) != nil {
		return periods{}, fmt.Errorf("read service policy: %w", err)
	}
	out := periods{defaultCreateTimeout, defaultDrainTimeout}
	if policy.Spec.CreateTimeout != nil {
		out.create = policy.Spec.CreateTimeout.Duration
	}
	if policy.Spec.DrainTimeout != nil {
		out.drain = policy.Spec.DrainTimeout.Duration
	}
	return out, nil
}

// timeout is how long the pool may take to become what is asked for, upgrades
// aside. Nodes that drain may take the drain timeout on top.
func (r *Reconciler) timeout(ctx context.Context, v view) (time.Duration, error) {
	limits, err := r.periods(ctx)
	for _, m := range v.machines {
		if !m.DeletionTimestamp.IsZero() {
			return limits.create + limits.drain, err
		}
	}
	return limits.create, err
}
