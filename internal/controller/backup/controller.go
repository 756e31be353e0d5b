package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/policy"
)

// Config is what the controller needs besides the manager.
type Config struct {
	// Store is where backups go if ServicePolicy names no store (a URL).
	Store string
	// Scratch is a directory for sealed snapshots on their way to a store; empty means
	// the system's.
	Scratch string
	// Reads are where it is said which etcds are read, and which must not be; nil means that
	// nobody asks.
	Reads *backup.Reads
	Log   *slog.Logger
	Now   func() time.Time
}

type reconciler struct {
	Config
	client  client.Client
	reader  client.Reader // not a cache: for Secrets
	running *fleet
	events  activity.Recorder
}

// Setup registers the controller with the manager. Recorders end with it.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &reconciler{
		Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(),
		running: newFleet(), events: activity.NewRecorder(mgr, "berth/backup", cfg.Now),
	}
	if err := mgr.Add(manager.RunnableFunc(r.running.untilEnd)); err != nil {
		return fmt.Errorf("set up backup controller: %w", err)
	}
	if err := metrics.Registry.Register(r.running); err != nil {
		return fmt.Errorf("register metrics of backups: %w", err)
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("backup").
		For(&v1beta1.ManagedCluster{}).
		Watches(&v1beta1.ServicePolicy{}, handler.EnqueueRequestsFromMapFunc(apply.AllClusters(mgr.GetClient()))).
		WatchesRawSource(source.Channel(r.running.changes, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up backup controller: %w", err)
	}
	return setupManagement(mgr, r)
}

func setupManagement(mgr ctrl.Manager, r *reconciler) error {
	toOwn := func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: managementKey}}
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("backup-management").
		For(&v1beta1.ManagementCluster{}).
		Watches(&v1beta1.ServicePolicy{}, handler.EnqueueRequestsFromMapFunc(toOwn)).
		WatchesRawSource(source.Channel(r.running.own, &handler.EnqueueRequestForObject{})).
		Complete(&management{reconciler: r})
	if err != nil {
		return fmt.Errorf("set up backup of the management cluster: %w", err)
	}
	return nil
}

// soonest is how soon a cluster is looked at again whose backups are late, or about to be.
const soonest = 2 * time.Second

// soonestFinal is how soon where somebody waits for a final backup.
const soonestFinal = 500 * time.Millisecond

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cluster v1beta1.ManagedCluster
	err := r.client.Get(ctx, request.NamespacedName, &cluster)
	if apierrors.IsNotFound(err) || err == nil && !cluster.DeletionTimestamp.IsZero() && !policy.FinalBackupPending(&cluster, 0) {
		r.running.stop(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("read cluster: %w", err)
	}
	result, err := r.record(ctx, &cluster)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("backups of %s: %w", request, err)
	}
	return result, nil
}

// record has a cluster recorded from when its control plane has come up: from then on its
// etcd does not start without data.
func (r *reconciler) record(ctx context.Context, cluster *v1beta1.ManagedCluster) (ctrl.Result, error) {
	key := client.ObjectKeyFromObject(cluster)
	if recordedFrom(cluster) == nil {
		if !holdsOn(cluster) {
			r.running.stop(key)
		}
		return ctrl.Result{}, nil
	}
	plan, err := r.plan(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	if len(plan.Stores) == 0 {
		r.running.stop(key)
		return ctrl.Result{}, nil
	}
	unreadable, err := r.sealed(ctx, cluster, plan)
	if err != nil {
		return ctrl.Result{}, err
	}
	if unreadable != "" && r.running.key(key, cluster.Spec.ID) == "" {
		return ctrl.Result{RequeueAfter: plan.Delta}, r.unsealed(ctx, cluster, unreadable)
	}
	state := r.running.state(key)
	for _, alarm := range r.running.raised(key, state.Alarms) {
		r.events.Event(cluster, corev1.EventTypeWarning, "EtcdAlarm", "Watch", alarmMessage(alarm, cluster.Spec.SKU.HighlyAvailable()))
	}
	wait, err := r.report(ctx, cluster, state, plan, unreadable)
	if !awaited(cluster) {
		return ctrl.Result{RequeueAfter: max(wait, soonest)}, err
	}
	r.running.hurry(key, r.Now())
	return ctrl.Result{RequeueAfter: soonestFinal}, err
}

// sealed lets a recorder run that seals with the cluster's key. If that cannot be read it says
// why: a recorder that runs goes on with the key that it has.
func (r *reconciler) sealed(ctx context.Context, cluster *v1beta1.ManagedCluster, plan policy.BackupPlan) (unreadable string, err error) {
	key := client.ObjectKeyFromObject(cluster)
	seal, told, err := r.sealing(ctx, cluster, plan)
	if none := (errUnreadable{}); errors.As(err, &none) {
		return none.Error(), nil
	}
	if err != nil {
		return "", err
	}
	if told != nil {
		r.Log.Warn(told.message, "cluster", cluster.Spec.ID)
		r.warn(cluster, told.reason, told.message)
	}
	r.running.keep(key, seal.of, plan, func() *backup.Recorder { return r.recorder(cluster, seal.key, plan) })
	r.running.noted(key, cluster.Status.Proof, seal.replaced)
	return "", nil
}

// awaited says whether somebody waits for the final backup of a cluster, since it is
// deleted (X3) or archived (J5).
func awaited(cluster *v1beta1.ManagedCluster) bool {
	archive := cluster.Status.Archive
	return !cluster.DeletionTimestamp.IsZero() || archive != nil && archive.Phase == v1beta1.ArchiveBackup
}

// recordedFrom is since when a cluster's etcd is to be recorded: its control plane runs, or
// etcd alone for the final backup of one that is archived (J5) or deleted (X3); nil if it is not.
func recordedFrom(cluster *v1beta1.ManagedCluster) *metav1.Time {
	switch {
	case cluster.Status.Archive.KeepsEtcd():
		return &cluster.Status.Archive.StartTime
	case policy.FinalBackupAlone(cluster):
		return cluster.DeletionTimestamp
	}
	return cluster.Status.APIServerReady
}

// holdsOn says whether a recorder that runs is to go on though nothing is recorded: while
// etcd's data are put back it may be the only one to have their last revisions, which it
// stores as soon as a store takes them. While a control plane is being stopped its API
// servers write until they have ended, and etcd ends after them: what is deleted later is
// recovered with that too (X3).
func holdsOn(cluster *v1beta1.ManagedCluster) bool {
	stopping := cluster.Spec.PowerState.Wanted() == v1beta1.PowerStopped && cluster.Status.PowerState.Code != v1beta1.PowerStopped
	return cluster.Status.Recovery.UnderWay() || stopping
}

func (r *reconciler) plan(ctx context.Context) (policy.BackupPlan, error) {
	var service v1beta1.ServicePolicy
	err := r.client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service)
	if client.IgnoreNotFound(err) != nil {
		return policy.BackupPlan{}, fmt.Errorf("read service policy: %w", err)
	}
	return policy.Backups(service.Spec, r.Store), nil
}
