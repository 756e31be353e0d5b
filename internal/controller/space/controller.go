package space

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/policy"
)

const (
	// statusOwner is the field manager of status.etcdCleaning and the condition EtcdHasSpace.
	statusOwner = "berth-space"
	// lookEvery is how often an etcd that has room is looked at, and lookSoon one that is full
	// or whose members have to come up.
	lookEvery = time.Minute
	lookSoon  = 10 * time.Second
	// readSoon is how often one is looked at that takes no writes, and is read.
	readSoon = time.Second
	// atOnce is how soon the next step follows one that was made.
	atOnce = 100 * time.Millisecond
	// callTime bounds one compaction, or the defragmentation of one member: a little more than
	// its liveness probe leaves to one whose quota is used up (components/etcd/server).
	callTime = 15 * time.Minute
	// atATime is how many clusters have room made at the same time.
	atATime = 4
)

// Etcd is what is done to a hosted etcd; etcd.Client is one.
type Etcd interface {
	Space(ctx context.Context, target etcd.Target) (etcd.Space, error)
	Compact(ctx context.Context, target etcd.Target, revision int64) error
	Defragment(ctx context.Context, target etcd.Target, id uint64) error
	DisarmNoSpace(ctx context.Context, target etcd.Target) error
}

// Fulls are the full backups that are read from etcds in this process, by the IDs that the
// backups have; *backup.Reads are.
type Fulls interface {
	// Since says when the oldest that is being read began; zero if none is.
	Since(id string) time.Time
	// GiveUp ends those that are being read; they are made anew later.
	GiveUp(id string)
	// Hold has none begin until it is released. It does not hold while one is read.
	Hold(id string) (release func(), held bool)
}

// Config is what the controller needs besides the manager.
type Config struct {
	// Store is where backups go if ServicePolicy names no store (a URL).
	Store string
	// Etcd reaches etcds; nil means over the network.
	Etcd Etcd
	// Fulls keep out of the way of a defragmentation, and it of them; nil means that none are made.
	Fulls Fulls
	// Metrics is where the metrics are registered; nil means controller-runtime's registry.
	Metrics prometheus.Registerer
	Now     func() time.Time
}

type reconciler struct {
	Config
	client client.Client
	reader client.Reader // not a cache: for Secrets, and so that no step is made twice
	events activity.Recorder
	gauges gauges
}

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Etcd == nil {
		cfg.Etcd = etcd.Client{}
	}
	if cfg.Fulls == nil {
		cfg.Fulls = backup.NewReads()
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.Registry
	}
	r := &reconciler{Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(), events: activity.NewRecorder(mgr, "berth/space", cfg.Now), gauges: newGauges()}
	if err := r.gauges.register(cfg.Metrics); err != nil {
		return err
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("space").
		For(&v1beta1.ManagedCluster{}, builder.WithPredicates(comes)).
		WithOptions(controller.Options{MaxConcurrentReconciles: atATime}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up space controller: %w", err)
	}
	if err := mgr.Add(&management{reconciler: r, elected: mgr.Elected()}); err != nil {
		return fmt.Errorf("look after the management cluster's etcd: %w", err)
	}
	return nil
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cluster v1beta1.ManagedCluster
	err := r.reader.Get(ctx, request.NamespacedName, &cluster)
	if apierrors.IsNotFound(err) || err == nil && !runs(&cluster) {
		r.gauges.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("read cluster: %w", err)
	}
	wait, err := r.look(ctx, &cluster)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("room in etcd of %s: %w", request, err)
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// runs: the cluster's etcd is one to be looked after.
func runs(cluster *v1beta1.ManagedCluster) bool {
	return cluster.DeletionTimestamp.IsZero() && cluster.Status.APIServerReady != nil && !cluster.Status.Recovery.UnderWay()
}

// comes lets changes in that give a cluster an etcd to be looked after, or take it, and what
// somebody asks for. Other changes of status are many, and each look asks etcd.
var comes = predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, wasCluster := e.ObjectOld.(*v1beta1.ManagedCluster)
	after, isCluster := e.ObjectNew.(*v1beta1.ManagedCluster)
	return !isCluster || !wasCluster || runs(before) != runs(after)
}})

// busy: something goes on in the cluster's etcd, or with its members.
func busy(cluster *v1beta1.ManagedCluster) bool {
	status := cluster.Status
	return status.Upgrade.UnderWay() || status.Proof.UnderWay() || !policy.ReplicasAtRest(status.Replicas.At(), cluster.Spec.SKU.HighlyAvailable()) ||
		status.Replicas != nil && status.Replicas.Replacing != nil
}

// savingTime bounds the wait for what an upgrade has saved: one that does not come on, as where
// its version is no longer there, saves nothing any more.
const savingTime = 25 * time.Minute

// saving: an upgrade has what etcd holds saved, by a snapshot.
func saving(cluster *v1beta1.ManagedCluster, now time.Time) bool {
	up := cluster.Status.Upgrade
	return up.UnderWay() && up.Phase == v1beta1.UpgradeSnapshot && now.Sub(up.PhaseSince.Time) < savingTime
}

// look makes one step, and says after what time the next may be due.
func (r *reconciler) look(ctx context.Context, cluster *v1beta1.ManagedCluster) (time.Duration, error) {
	target, err := r.target(ctx, cluster)
	if err != nil {
		return 0, err
	}
	key := client.ObjectKeyFromObject(cluster)
	w := policy.EtcdSpace{
		Now: r.Now(), Busy: busy(cluster), Saving: saving(cluster, r.Now()), Reading: r.Fulls.Since(cluster.Spec.ID), Last: cluster.Status.EtcdCleaning.DeepCopy(),
		NoSpace: meta.IsStatusConditionFalse(cluster.Status.Conditions, v1beta1.ConditionEtcdHasSpace),
	}
	if answers := r.ask(ctx, key, target, &w); !answers && !w.Last.UnderWay() {
		return lookSoon, nil
	}
	if w.BackedUp, err = r.backedUp(ctx, cluster.Status); err != nil {
		return 0, err
	}
	return r.step(ctx, subject{
		target: target, backups: cluster.Spec.ID,
		keep: func(ctx context.Context, w policy.EtcdSpace) error { return r.write(ctx, cluster, w) },
		ended: func(w policy.EtcdSpace) {
			r.gauges.ended(key, w.Last.Result)
			r.tell(cluster, w)
		},
	}, w)
}

// ask has an etcd say how much it stores. Where it does not, w is as it was.
func (r *reconciler) ask(ctx context.Context, key client.ObjectKey, target etcd.Target, w *policy.EtcdSpace) bool {
	space, err := r.Etcd.Space(ctx, target)
	if err != nil {
		log.FromContext(ctx).V(1).Info("etcd does not say how much it stores", "error", err)
		return false
	}
	w.NoSpace, w.Corrupt, w.Revision, w.Marked = space.NoSpace, space.Corrupt, space.Revision, space.Marked
	for _, m := range space.Members {
		w.Members = append(w.Members, policy.EtcdUsage(m))
	}
	r.gauges.show(key, w.Members)
	return true
}

func (r *reconciler) backedUp(ctx context.Context, status v1beta1.ManagedClusterStatus) (int64, error) {
	var service v1beta1.ServicePolicy
	if err := r.client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("read service policy: %w", err)
	}
	return policy.BackedUpTo(status, policy.Backups(service.Spec, r.Store)), nil
}

// write applies how far an attempt is, and what the condition says then, if it is news.
func (r *reconciler) write(ctx context.Context, cluster *v1beta1.ManagedCluster, w policy.EtcdSpace) error {
	ok, reason, message := policy.EtcdHasSpace(w)
	next := metav1.Condition{
		Type: v1beta1.ConditionEtcdHasSpace, Status: metav1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: cluster.Generation, LastTransitionTime: metav1.NewTime(w.Now.Truncate(time.Second)),
	}
	if ok {
		next.Status = metav1.ConditionTrue
	}
	last := meta.FindStatusCondition(cluster.Status.Conditions, next.Type)
	if last != nil && last.Status == next.Status {
		next.LastTransitionTime = last.LastTransitionTime
	}
	if last != nil && *last == next && equality.Semantic.DeepEqual(cluster.Status.EtcdCleaning, w.Last) {
		return nil
	}
	return apply.Status(ctx, r.client, cluster, statusOwner, &struct {
		EtcdCleaning *v1beta1.EtcdCleaning `json:"etcdCleaning,omitempty"`
		Conditions   []metav1.Condition    `json:"conditions"`
	}{w.Last, []metav1.Condition{next}}, "")
}

// tell records how an attempt ended.
func (r *reconciler) tell(cluster *v1beta1.ManagedCluster, w policy.EtcdSpace) {
	const mib = 1 << 20
	took := fmt.Sprintf("its largest database took %d MiB and takes %d MiB", w.Last.Before/mib, w.Last.After/mib)
	switch {
	case w.Last.Result == v1beta1.EtcdFull:
		r.events.Event(cluster, corev1.EventTypeWarning, "EtcdFull", "MakeRoom", policy.FullMessage(w))
	case w.Last.Result == v1beta1.EtcdCleaningFailed:
		r.events.Event(cluster, corev1.EventTypeWarning, "EtcdNotDefragmented", "MakeRoom", "room could not be made in etcd, since its members do not answer or agree in time, or what is read of it does not come to an end; it is tried again later")
	case w.Last.Reason == v1beta1.EtcdFragmented:
		r.events.Event(cluster, corev1.EventTypeNormal, "EtcdDefragmented", "MakeRoom", "etcd was defragmented before it was full: "+took)
	default:
		r.events.Event(cluster, corev1.EventTypeNormal, "EtcdHasSpace", "MakeRoom", "etcd was full and takes writes again: "+took)
	}
}
