// Package advisory tells the owners of clusters which advisories affect them: it keeps
// status.advisories of each ManagedCluster, announces what is new with an event (H1, H2),
// and counts the affected clusters of each Advisory. internal/policy/notice decides.
package advisory

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy/notice"
	"berth.dev/berth/internal/release"
)

const (
	// statusOwner is the field manager of status.advisories.
	statusOwner = "berth-advisory"
	// soon is how long the next look waits for a newer status.
	soon = time.Second
)

// Config is what the controller needs besides the manager.
type Config struct {
	Catalogue *release.Catalogue
	Now       func() time.Time
}

type reconciler struct {
	Config
	client client.Client
	reader client.Reader // not a cache: nothing is announced twice for an old status
	events events.EventRecorder
	log    activity.Recorder
}

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &reconciler{Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(), events: mgr.GetEventRecorder("berth-advisory"), log: activity.Quiet(mgr.GetClient(), "berth/advisory", cfg.Now)}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("advisory").
		For(&v1beta1.ManagedCluster{}).
		Watches(&v1beta1.AgentPool{}, handler.EnqueueRequestsFromMapFunc(apply.ClusterOfPool)).
		Watches(&v1beta1.Advisory{}, handler.EnqueueRequestsFromMapFunc(apply.AllClusters(mgr.GetClient()))).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up advisory controller: %w", err)
	}
	return setupCount(mgr)
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cluster v1beta1.ManagedCluster
	if err := r.client.Get(ctx, request.NamespacedName, &cluster); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !cluster.DeletionTimestamp.IsZero() || cluster.Status.CurrentKubernetesVersion == "" {
		return ctrl.Result{}, nil
	}
	err := r.look(ctx, &cluster)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: soon}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("advisories of %s: %w", request, err)
	}
	return ctrl.Result{}, nil
}

// look writes which advisories affect a cluster, if that is news, and then announces what
// was not announced. What was decided on an older status is refused as a conflict.
func (r *reconciler) look(ctx context.Context, cluster *v1beta1.ManagedCluster) error {
	var advisories v1beta1.AdvisoryList
	var pools v1beta1.AgentPoolList
	of := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
	if err := r.client.List(ctx, &advisories); err != nil {
		return fmt.Errorf("list advisories: %w", err)
	}
	if err := r.client.List(ctx, &pools, client.InNamespace(cluster.Namespace), of); err != nil {
		return fmt.Errorf("list agent pools: %w", err)
	}
	last := cluster.Status.Advisories
	next := notice.Advise(advisories.Items, notice.Observe(cluster, pools.Items, r.Catalogue), r.Catalogue, last, r.Now())
	if equality.Semantic.DeepEqual(last, next) {
		return r.announce(ctx, cluster, advisories.Items)
	}
	if err := r.write(ctx, cluster, next); err != nil {
		return err
	}
	for i := range last {
		if !has(next, last[i].Name) {
			ended := &v1beta1.Advisory{ObjectMeta: metav1.ObjectMeta{Name: last[i].Name}} // it may be gone
			r.tell(ctx, cluster, ended, corev1.EventTypeNormal, fmt.Sprintf("%s: advisory %s does not affect the cluster any more", last[i].Clause, last[i].Name))
		}
	}
	return nil
}

// tell records that an advisory affects a cluster, or does not any more, in the activity log
// and as an event. Events that differ in their words alone are one to Kubernetes, and the
// words of the first: naming the advisory keeps them apart.
func (r *reconciler) tell(ctx context.Context, cluster *v1beta1.ManagedCluster, advisory *v1beta1.Advisory, kind, words string) {
	reason := "SecurityAdvisory"
	if kind == corev1.EventTypeNormal {
		reason = "SecurityAdvisoryEnded"
	}
	r.events.Eventf(cluster, advisory, kind, reason, "Advise", "%s", words)
	r.log.Record(ctx, activity.Notice{Object: cluster, ActivityNotice: v1beta1.ActivityNotice{Reason: reason, Message: words, Warning: kind == corev1.EventTypeWarning}})
}

func (r *reconciler) write(ctx context.Context, cluster *v1beta1.ManagedCluster, next []v1beta1.ClusterAdvisory) error {
	return apply.Status(ctx, r.client, cluster, statusOwner, &struct {
		Advisories []v1beta1.ClusterAdvisory `json:"advisories,omitempty"`
	}{next}, cluster.ResourceVersion)
}

// announce tells the owners of what affects the cluster, with its impact and the steps,
// and notes that they were told after that: a process that dies in between tells them
// twice, and never not at all.
func (r *reconciler) announce(ctx context.Context, cluster *v1beta1.ManagedCluster, advisories []v1beta1.Advisory) error {
	untold := func(one v1beta1.ClusterAdvisory) bool { return one.Announced == nil }
	if !slices.ContainsFunc(cluster.Status.Advisories, untold) {
		return nil
	}
	var fresh v1beta1.ManagedCluster
	if err := r.reader.Get(ctx, client.ObjectKeyFromObject(cluster), &fresh); err != nil {
		return client.IgnoreNotFound(err)
	}
	now, next := metav1.NewTime(r.Now().UTC().Truncate(time.Second)), fresh.DeepCopy().Status.Advisories
	for i := range next {
		one := &next[i]
		n := slices.IndexFunc(advisories, func(a v1beta1.Advisory) bool { return a.Name == one.Name })
		if one.Announced != nil || n < 0 {
			continue
		}
		spec := &advisories[n].Spec
		r.tell(ctx, &fresh, &advisories[n], corev1.EventTypeWarning, activity.Clip(fmt.Sprintf("%s: advisory %s (%s): %s. %s Found: %s. Next (%s): %s",
			one.Clause, one.Name, spec.Severity, spec.Title, spec.Impact, one.Evidence, one.Turn, one.Next)))
		one.Announced = &now
	}
	if equality.Semantic.DeepEqual(fresh.Status.Advisories, next) {
		return nil
	}
	return r.write(ctx, &fresh, next)
}

func has(list []v1beta1.ClusterAdvisory, name string) bool {
	return slices.ContainsFunc(list, func(one v1beta1.ClusterAdvisory) bool { return one.Name == name })
}
