// Package rollout brings patched components to the clusters in waves (H1): it makes a
// ComponentRollout when the release catalogue has other images than the last one, and
// says in status.componentRollout of each ManagedCluster which images it may have. The
// add-on controller applies them, and tells whether they run. internal/policy/rollout
// decides (docs/decisions/0021-waves.md).
package rollout

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/release"
)

const (
	// statusOwner is the field manager of status.componentRollout.
	statusOwner = "berth-rollout"
	// prompt is how long what somebody asked for waits for more of it, and a new cluster;
	// settle is how long other changes do, of which a large service has many at any time.
	prompt = 50 * time.Millisecond
	settle = time.Second
	// soon is how long the next look waits for what it read to be newer.
	soon = time.Second
)

// work is the only request: the fleet is looked at as a whole.
var work = ctrl.Request{NamespacedName: client.ObjectKey{Name: "fleet"}}

// Config is what the controller needs besides the manager.
type Config struct {
	Catalogue *release.Catalogue
	// Pullable says whether an image can be had from the registry; nil means always. After
	// an error nothing is decided.
	Pullable func(image string) (bool, error)
	// Metrics is where the metrics are registered; nil means controller-runtime's registry.
	Metrics prometheus.Registerer
	Now     func() time.Time
}

type reconciler struct {
	Config
	client client.Client
	reader client.Reader // not a cache: nothing is given to a cluster by what is old
	events events.EventRecorder
	log    activity.Recorder
	begun  time.Time
}

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Pullable == nil {
		cfg.Pullable = func(string) (bool, error) { return true, nil }
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.Registry
	}
	r := &reconciler{
		Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(), begun: cfg.Now(),
		events: mgr.GetEventRecorder("berth-rollout"), log: activity.Quiet(mgr.GetClient(), "berth/rollout", cfg.Now),
	}
	if err := cfg.Metrics.Register(fleet{r.client}); err != nil {
		return fmt.Errorf("register metrics of rollouts: %w", err)
	}
	// There is a first look though nothing changes: the catalogue may be another one.
	first := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(work)
		return nil
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("rollout").
		Watches(&v1beta1.ComponentRollout{}, changes(prompt)).
		Watches(&v1beta1.ManagedCluster{}, changes(settle)).
		Watches(&v1beta1.ServicePolicy{}, changes(prompt)).
		WatchesRawSource(first).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up rollout controller: %w", err)
	}
	return nil
}

// changes asks for one look, however much changes within a time.
func changes(within time.Duration) handler.EventHandler {
	type requests = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(_ context.Context, _ event.CreateEvent, queue requests) { queue.AddAfter(work, prompt) },
		UpdateFunc: func(_ context.Context, _ event.UpdateEvent, queue requests) { queue.AddAfter(work, within) },
		DeleteFunc: func(_ context.Context, _ event.DeleteEvent, queue requests) { queue.AddAfter(work, within) },
	}
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	again, err := r.look(ctx)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return ctrl.Result{RequeueAfter: soon}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("roll components out: %w", err)
	}
	return ctrl.Result{RequeueAfter: again}, nil
}
