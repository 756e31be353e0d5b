package autoupgrade

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/release"
)

// statusOwner is the field manager of status.autoUpgrades.
const statusOwner = "berth-autoupgrade"

// soon is how long the next look waits after something has changed.
const soon = time.Second

// Config is what the controller needs besides the manager.
type Config struct {
	Catalogue *release.Catalogue
	// Preflight reads what may hold an upgrade up; nil looks at nothing.
	Preflight Preflight
	Now       func() time.Time
}

type reconciler struct {
	Config
	client client.Client
	reader client.Reader // not a cache: for what a run is begun from
	refusals
}

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &reconciler{Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader()}
	related := handler.EnqueueRequestsFromMapFunc(clusterOf)
	err := ctrl.NewControllerManagedBy(mgr).
		Named("autoupgrade").
		For(&v1beta1.ManagedCluster{}).
		Watches(&v1beta1.AgentPool{}, related).
		Watches(&v1beta1.MaintenanceConfiguration{}, related).
		Watches(&v1beta1.Operation{}, related).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up auto-upgrade controller: %w", err)
	}
	return nil
}

// clusterOf is the cluster that an object belongs to.
func clusterOf(_ context.Context, object client.Object) []ctrl.Request {
	var names []string
	switch o := object.(type) {
	case *v1beta1.AgentPool:
		names = []string{o.Spec.ResourceGroup, o.Spec.ClusterName}
	case *v1beta1.MaintenanceConfiguration:
		names = []string{o.Spec.ResourceGroup, o.Spec.ClusterName}
	case *v1beta1.Operation:
		desired := o.Spec.Desired
		switch {
		case desired != nil && desired.Cluster != nil:
			names = []string{desired.Cluster.ResourceGroup, desired.Cluster.Name}
		case desired != nil && len(desired.AgentPools) > 0:
			names = []string{desired.AgentPools[0].ResourceGroup, desired.AgentPools[0].ClusterName}
		}
	}
	if names == nil {
		return nil
	}
	return []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: object.GetNamespace(), Name: v1beta1.ObjectName(names...)}}}
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cluster v1beta1.ManagedCluster
	if err := r.client.Get(ctx, request.NamespacedName, &cluster); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !cluster.DeletionTimestamp.IsZero() || cluster.Spec.AutoUpgradeProfile == nil && cluster.Status.AutoUpgrades == nil {
		return ctrl.Result{}, nil
	}
	result, err := r.look(ctx, r.client, &cluster)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("automatic upgrades of %s: %w", request, err)
	}
	return result, nil
}

// look decides about every schedule. What the cache says is enough to wait by; to
// begin something, everything is read again.
func (r *reconciler) look(ctx context.Context, reader client.Reader, cluster *v1beta1.ManagedCluster) (ctrl.Result, error) {
	seen, err := r.observe(ctx, reader, cluster)
	if err != nil {
		return ctrl.Result{}, err
	}
	next, begin, again := decideAll(seen)
	if begin != nil && reader != r.reader {
		var fresh v1beta1.ManagedCluster
		if err := r.reader.Get(ctx, client.ObjectKeyFromObject(cluster), &fresh); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		return r.look(ctx, r.reader, &fresh)
	}
	if begin != nil {
		if next, begin, again, err = r.decideGated(ctx, seen); err != nil {
			return ctrl.Result{}, err
		}
	}
	err = r.report(ctx, seen.cluster, next)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: soon}, nil
	}
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if begin != nil {
		if err := r.begin(ctx, seen.cluster, begin); err != nil {
			return ctrl.Result{}, err
		}
	}
	wait := seen.interval
	if len(seen.held) > 0 {
		wait = min(wait, askAgain)
	}
	if !again.IsZero() {
		wait = min(wait, max(again.Sub(seen.now), soon))
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// step is a part of a run that is to begin.
type step struct {
	run  v1beta1.AutoUpgradeStatus
	part *part
}

// decideAll decides about the schedules in their order. At most one begins something.
func decideAll(o *observation) (next []v1beta1.AutoUpgradeStatus, begin *step, again time.Time) {
	busy := o.busy
	defer func() { o.busy = busy }()
	for _, schedule := range schedules {
		found := decide(o, schedule)
		if found.begin != nil && begin == nil {
			begin = &step{found.status, found.begin}
			o.busy = "the run of " + schedule + " is about to begin"
		}
		if !found.again.IsZero() && (again.IsZero() || found.again.Before(again)) {
			again = found.again
		}
		if found.status != (v1beta1.AutoUpgradeStatus{Schedule: schedule}) {
			next = append(next, found.status)
		}
	}
	return next, begin, again
}

// begin makes the operation as a PUT through ARM would. Somebody who was faster is
// waited for.
func (r *reconciler) begin(ctx context.Context, cluster *v1beta1.ManagedCluster, s *step) error {
	op := &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: operationName(cluster, s.run, s.part.key)},
		Spec:       s.part.spec,
	}
	op.Spec.CorrelationID = op.Name
	err := operation.Begin(ctx, r.client, r.reader, op)
	var busy *operation.BusyError
	if errors.As(err, &busy) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin the upgrade of %s to %s: %w", s.part.name, s.run.LastTarget, err)
	}
	return nil
}
