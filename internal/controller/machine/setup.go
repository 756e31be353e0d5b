package machine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine/pod"
	"berth.dev/berth/internal/tenant"
)

const (
	workers = 8
	// scriptWorkers is how many scripts run at once; each costs little but a stream.
	scriptWorkers = 32
)

// Setup registers the controllers of this package with the manager. The manager's
// cache of Pods may be limited to machine pods (pod.CacheOptions).
func Setup(mgr ctrl.Manager, config Config) error {
	config = config.withDefaults()
	if config.Watches == nil {
		config.Watches = tenant.NewWatches(config.Tenants)
	}
	if err := mgr.Add(config.Watches); err != nil {
		return fmt.Errorf("set up tenant watches: %w", err)
	}
	c := mgr.GetClient()
	machines := New(c, mgr.GetAPIReader(), config)
	if err := setupMachines(mgr, machines); err != nil {
		return fmt.Errorf("set up machine controller: %w", err)
	}
	if err := metrics.Registry.Register(machines.repaired); err != nil && !errors.As(err, &prometheus.AlreadyRegisteredError{}) {
		return fmt.Errorf("register metrics of repairs: %w", err)
	}
	if err := setupRequests(mgr, NewApprover(c, mgr.GetAPIReader(), config)); err != nil {
		return fmt.Errorf("set up certificate approval: %w", err)
	}
	if err := setupCommands(mgr, NewCommander(c, mgr.GetAPIReader(), config)); err != nil {
		return fmt.Errorf("set up scripts in machines: %w", err)
	}
	err := ctrl.NewControllerManagedBy(mgr).Named("tenant-watch").
		For(&v1beta1.ManagedCluster{}).
		Complete(NewKeeper(c, config.Watches))
	if err != nil {
		return fmt.Errorf("set up tenant watch controller: %w", err)
	}
	return nil
}

func setupMachines(mgr ctrl.Manager, r *Reconciler) error {
	nodes := source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.Watches.Subscribe(func(event tenant.Event) {
			if event.Kind == tenant.KindNode {
				r.enqueueNode(ctx, queue, event)
			}
		})
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).Named("machine").
		For(&v1beta1.Machine{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1beta1.ManagedCluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(ofPod)).
		WatchesRawSource(nodes).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, RateLimiter: backoff[reconcile.Request]()}).
		Complete(r)
}

// setupCommands gives scripts workers of their own: they may take minutes.
func setupCommands(mgr ctrl.Manager, c *Commander) error {
	return ctrl.NewControllerManagedBy(mgr).Named("run-command").
		For(&v1beta1.Machine{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: scriptWorkers, RateLimiter: backoff[reconcile.Request]()}).
		Complete(c)
}

func setupRequests(mgr ctrl.Manager, a *Approver) error {
	requests := source.TypedFunc[TenantRequest](func(_ context.Context, queue workqueue.TypedRateLimitingInterface[TenantRequest]) error {
		a.Watches.Subscribe(func(event tenant.Event) {
			if event.Kind == tenant.KindRequest {
				queue.Add(TenantRequest{ClusterID: event.ClusterID, Name: event.Name})
			}
		})
		return nil
	})
	return builder.TypedControllerManagedBy[TenantRequest](mgr).Named("certificate-approval").
		WatchesRawSource(requests).
		WithOptions(controller.TypedOptions[TenantRequest]{MaxConcurrentReconciles: workers, RateLimiter: backoff[TenantRequest]()}).
		Complete(a)
}

// backoff stays short: what fails is mostly a cluster that is about to answer.
func backoff[T comparable]() workqueue.TypedRateLimiter[T] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[T](20*time.Millisecond, 30*time.Second)
}

func (r *Reconciler) enqueueNode(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request], event tenant.Event) {
	machines, err := machinesOf(ctx, r.client, event.ClusterID)
	if err != nil {
		return
	}
	for _, object := range machines {
		if object.Spec.NodeName == event.Name {
			queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&object)})
		}
	}
}

func (r *Reconciler) ofCluster(ctx context.Context, object client.Object) []reconcile.Request {
	cluster, ok := object.(*v1beta1.ManagedCluster)
	if !ok || cluster.Spec.ID == "" {
		return nil
	}
	machines, err := machinesOf(ctx, r.client, cluster.Spec.ID)
	if err != nil {
		return nil
	}
	var requests []reconcile.Request
	for _, object := range machines {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&object)})
	}
	return requests
}

func ofPod(_ context.Context, object client.Object) []reconcile.Request {
	if owner, ok := pod.Owner(object); ok {
		return []reconcile.Request{{NamespacedName: owner}}
	}
	return nil
}
