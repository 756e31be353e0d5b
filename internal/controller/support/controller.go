package support

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/support"
	"berth.dev/berth/internal/release"
)

// soon is how long the next look waits for a newer status, and busy for an operation
// that holds the cluster.
const (
	soon = time.Second
	busy = 5 * time.Second
)

// Config is what the controller needs besides the manager.
type Config struct {
	Catalogue *release.Catalogue
	// Metrics is where the metric is registered; nil means controller-runtime's registry.
	Metrics prometheus.Registerer
	// Webhooks reads those of a managed cluster that can hold its system up; nil means
	// that nobody looks. inspect.Reader does.
	Webhooks func(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]support.Webhook, error)
	Now      func() time.Time
}

type reconciler struct {
	Config
	looks  looks
	client client.Client
	reader client.Reader // not a cache: for what an act is begun from
	events activity.Recorder
}

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.Registry
	}
	r := &reconciler{Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(), events: activity.NewRecorder(mgr, "berth/support", cfg.Now)}
	if err := cfg.Metrics.Register(states{r.client}); err != nil {
		return fmt.Errorf("register metric of supportability: %w", err)
	}
	related := handler.EnqueueRequestsFromMapFunc(r.related)
	err := ctrl.NewControllerManagedBy(mgr).
		Named("support").
		For(&v1beta1.ManagedCluster{}).
		Watches(&v1beta1.AgentPool{}, related).
		Watches(&v1beta1.Machine{}, related).
		Watches(&v1beta1.Subscription{}, related).
		Watches(&v1beta1.ResourceGroup{}, related).
		Watches(&v1beta1.VirtualMachineScaleSet{}, related).
		Watches(&v1beta1.ServicePolicy{}, related).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up support controller: %w", err)
	}
	return nil
}

// related are the clusters that an object is evidence for.
func (r *reconciler) related(ctx context.Context, object client.Object) []ctrl.Request {
	var list v1beta1.ManagedClusterList
	var options []client.ListOption
	switch o := object.(type) {
	case *v1beta1.AgentPool:
		return []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: o.Namespace, Name: v1beta1.ObjectName(o.Spec.ResourceGroup, o.Spec.ClusterName)}}}
	case *v1beta1.ResourceGroup:
		if name, ok := policy.ClusterOfGroup(o); ok {
			return []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: o.Namespace, Name: name}}}
		}
		return nil
	case *v1beta1.VirtualMachineScaleSet:
		var pool v1beta1.AgentPool
		if r.client.Get(ctx, client.ObjectKeyFromObject(o), &pool) != nil {
			return nil
		}
		return r.related(ctx, &pool)
	case *v1beta1.Machine:
		return []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: o.Namespace, Name: o.Spec.Cluster}}}
	case *v1beta1.Subscription:
		options = append(options, client.InNamespace(v1beta1.SubscriptionNamespace(o.Name)))
	}
	if err := r.client.List(ctx, &list, options...); err != nil {
		return nil // each is looked at in its own time
	}
	requests := make([]ctrl.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cluster v1beta1.ManagedCluster
	if err := r.client.Get(ctx, request.NamespacedName, &cluster); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	result, err := r.look(ctx, r.client, &cluster)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: soon}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("supportability of %s: %w", request, err)
	}
	return result, nil
}

// look judges a cluster. What the cache says is enough to tell of it; to act,
// everything is read again.
func (r *reconciler) look(ctx context.Context, reader client.Reader, cluster *v1beta1.ManagedCluster) (ctrl.Result, error) {
	if !cluster.DeletionTimestamp.IsZero() {
		r.looks.forget(cluster.UID)
		return ctrl.Result{}, r.tellDeletion(ctx, cluster)
	}
	seen, err := r.observe(ctx, reader, cluster)
	if err != nil {
		return ctrl.Result{}, err
	}
	verdict := support.Decide(cluster.Status.Support, seen.evidence, seen.plan, seen.now)
	if verdict.Due != nil && reader != r.reader {
		var fresh v1beta1.ManagedCluster
		if err := r.reader.Get(ctx, client.ObjectKeyFromObject(cluster), &fresh); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		return r.look(ctx, r.reader, &fresh)
	}
	begin, err := r.next(ctx, seen, &verdict)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.report(ctx, seen, verdict); err != nil {
		return ctrl.Result{}, err
	}
	again := verdict.Again
	if verdict.Due != nil {
		again = min(again, busy)
	}
	if begin {
		return ctrl.Result{RequeueAfter: again}, r.begin(ctx, seen, verdict.Status.LastAct)
	}
	return ctrl.Result{RequeueAfter: again}, nil
}
