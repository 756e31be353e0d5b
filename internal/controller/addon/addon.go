// Package addon is the add-on manager: it brings the managed components (A4, A5, A6)
// into each cluster as soon as its API server answers, and again whenever what they are
// rendered from changes. It watches their metadata there, and puts back within a second
// or so what somebody changes (A7): an object of the mode Reconcile as a whole, but for
// the hooks that policy.ManagedHooks lists; one of EnsureExists only when it is gone.
// Which images they have is controller/rollout's to say, in status.componentRollout.
// It writes the conditions AddonsApplied, AddonsReady and AddonsContested and the
// addonsVersion and addonsImages of ManagedCluster and nothing else of its status.
package addon

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/rollout"
	"berth.dev/berth/internal/release"
	"berth.dev/berth/internal/tenant"
)

const (
	// fieldOwner is the field manager of the components, statusOwner of the conditions.
	fieldOwner  = "berth"
	statusOwner = "berth-addon"
	// applyTimeout bounds one pass over a cluster's components.
	applyTimeout = time.Minute
	// settle is how long a change waits for others that belong to it.
	settle = 200 * time.Millisecond
	// soonest and latest bound how soon a pass that failed is made again.
	soonest, latest = 20 * time.Millisecond, 30 * time.Second
)

// Config is what the controller needs besides the manager.
type Config struct {
	Catalogue *release.Catalogue
	Tenants   tenant.Source
	Now       func() time.Time
}

type reconciler struct {
	Config
	client   client.Client
	reader   client.Reader // not a cache: for Secrets
	seen     *tenant.Inventory[sight]
	keeper   *keeper
	putBacks *prometheus.CounterVec
	log      activity.Recorder
}

// Setup registers the controller with the manager. Its watches end with it.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	counter, err := newPutBackMetric()
	if err != nil {
		return err
	}
	r := &reconciler{Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(), putBacks: counter, log: activity.Quiet(mgr.GetClient(), "berth/"+eventSource, cfg.Now)}
	var wake func(types.NamespacedName)
	r.seen = &tenant.Inventory[sight]{
		Source: cfg.Tenants, Labels: addon.Selector(), Digest: func(object *metav1.PartialObjectMetadata) sight { return sightOf(object) },
		Changed: func(clusterID string, ref tenant.Ref) {
			if cluster, ok := r.keeper.changed(clusterID, ref); ok {
				wake(cluster)
			}
		},
	}
	for _, kind := range addon.Kinds() {
		r.seen.Kinds = append(r.seen.Kinds, tenant.Followed{GroupVersionKind: kind.GroupVersionKind, Namespace: kind.Namespace})
	}
	r.keeper = newKeeper(r.seen.Get)
	if err := mgr.Add(r.seen); err != nil {
		return fmt.Errorf("set up watches of add-ons: %w", err)
	}
	// Nothing is watched before the first pass, which the queue comes before.
	changes := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		wake = func(cluster types.NamespacedName) { queue.AddAfter(ctrl.Request{NamespacedName: cluster}, settle) }
		return nil
	})
	err = ctrl.NewControllerManagedBy(mgr).
		Named("addon").
		For(&v1beta1.ManagedCluster{}).
		Watches(&v1beta1.AgentPool{}, handler.EnqueueRequestsFromMapFunc(apply.ClusterOfPool)).
		Watches(&v1beta1.ServicePolicy{}, handler.EnqueueRequestsFromMapFunc(apply.AllClusters(mgr.GetClient()))).
		WatchesRawSource(changes).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 4,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](soonest, latest),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up add-on controller: %w", err)
	}
	return nil
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cluster v1beta1.ManagedCluster
	if err := r.client.Get(ctx, request.NamespacedName, &cluster); err != nil {
		if id, ok := r.keeper.idOf(request.NamespacedName); ok && client.IgnoreNotFound(err) == nil {
			r.leave(id)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	// There is nothing to keep up in a cluster that is stopped or about to be.
	if !cluster.DeletionTimestamp.IsZero() || cluster.Status.APIServerReady == nil || policy.NodesAway(&cluster) {
		r.leave(cluster.Spec.ID)
		return ctrl.Result{}, nil
	}
	if _, told := rollout.ImagesFor(&cluster.Status, r.Catalogue); !told {
		return ctrl.Result{}, nil // it comes back when a rollout has said so
	}
	again, err := r.bringIn(ctx, &cluster)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("add-ons of %s: %w", request, err)
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// leave ends all that is done for a cluster.
func (r *reconciler) leave(clusterID string) {
	r.seen.Stop(clusterID)
	r.keeper.forget(clusterID)
}

// bringIn applies the components and reports it, and says when to look again. An
// upgrade hears of them when its kube-proxy is on every node.
func (r *reconciler) bringIn(ctx context.Context, cluster *v1beta1.ManagedCluster) (time.Duration, error) {
	plan, err := r.plan(ctx)
	if err != nil {
		return 0, err
	}
	r.keeper.begin(cluster.Spec.ID, client.ObjectKeyFromObject(cluster))
	applied, applyErr := r.applyAll(ctx, cluster, plan)
	r.seen.Keep(cluster.Spec.ID)
	if applyErr == nil {
		changing, err := r.proxiesChange(ctx, cluster)
		if changing || err != nil {
			return proxyAgain, err
		}
	}
	applied.err, applied.contested = applyErr, r.keeper.contested(cluster.Spec.ID, plan, r.Now())
	if err := r.report(ctx, cluster, applied); err != nil {
		return 0, err
	}
	return min(r.keeper.next(cluster.Spec.ID, plan, r.Now()), r.watchful(ctx, cluster, applied)), applyErr
}

func (r *reconciler) plan(ctx context.Context) (policy.PutBackPlan, error) {
	var service v1beta1.ServicePolicy
	err := r.client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service)
	if client.IgnoreNotFound(err) != nil {
		return policy.PutBackPlan{}, fmt.Errorf("read service policy: %w", err)
	}
	return policy.PutBacks(service.Spec), nil
}

// applyAll applies the components, and says which images they have and whether they run.
func (r *reconciler) applyAll(ctx context.Context, cluster *v1beta1.ManagedCluster, plan policy.PutBackPlan) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	in, err := r.input(ctx, cluster)
	if err != nil {
		return outcome{}, err
	}
	target, err := r.Tenants.Client(ctx, cluster.Spec.ID)
	if err != nil {
		return outcome{}, err
	}
	objects, err := addon.Render(in)
	if err != nil {
		return outcome{}, err
	}
	p := &pass{reconciler: r, cluster: cluster, id: cluster.Spec.ID, target: target, plan: plan}
	if err := p.bringAll(ctx, objects); err != nil {
		return outcome{}, err
	}
	missing, err := r.missing(ctx, cluster, target, objects)
	return outcome{images: in.Rendered(), missing: missing}, err
}
