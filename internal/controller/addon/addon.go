// Package addon brings the managed components (A4, A5, A6) into each cluster as
// soon as its API server answers, again whenever what they are rendered from
// changes, and every now and then to put back what was changed. It writes the
// condition AddonsApplied and the addonsVersion of ManagedCluster and nothing else
// of its status.
package addon

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
	"berth.dev/berth/internal/tenant"
)

const (
	// fieldOwner is the field manager of the components, statusOwner of the condition.
	fieldOwner  = "berth"
	statusOwner = "berth-addon"
	// putBack is how often an unchanged component is applied again.
	putBack = 10 * time.Minute
	// applyTimeout bounds one pass over a cluster's components.
	applyTimeout = time.Minute
)

// Config is what the controller needs besides the manager.
type Config struct {
	Catalogue *release.Catalogue
	Tenants   tenant.Source
	Now       func() time.Time
}

type reconciler struct {
	Config
	client  client.Client
	reader  client.Reader // not a cache: for Secrets
	applier *apply.Applier
}

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &reconciler{
		Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(),
		applier: apply.New(fieldOwner, putBack, cfg.Now).WithOnce(apply.Once{Label: addon.LabelMode, Value: addon.ModeEnsureExists}),
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("addon").
		For(&v1beta1.ManagedCluster{}).
		Watches(&v1beta1.AgentPool{}, handler.EnqueueRequestsFromMapFunc(poolRequest)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up add-on controller: %w", err)
	}
	return nil
}

func poolRequest(_ context.Context, object client.Object) []ctrl.Request {
	pool, ok := object.(*v1beta1.AgentPool)
	if !ok {
		return nil
	}
	name := v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName)
	return []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: pool.Namespace, Name: name}}}
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cluster v1beta1.ManagedCluster
	if err := r.client.Get(ctx, request.NamespacedName, &cluster); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !cluster.DeletionTimestamp.IsZero() {
		r.applier.Forget(cluster.Spec.ID)
		return ctrl.Result{}, nil
	}
	// There is nothing to keep up in a cluster that is stopped or about to be.
	if cluster.Status.APIServerReady == nil || policy.NodesAway(&cluster) {
		return ctrl.Result{}, nil
	}
	again, err := r.bringIn(ctx, &cluster)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("add-ons of %s: %w", request, err)
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// bringIn applies the components and reports it, and says when to look again. An
// upgrade hears of them when its kube-proxy is on every node.
func (r *reconciler) bringIn(ctx context.Context, cluster *v1beta1.ManagedCluster) (time.Duration, error) {
	applyErr := r.applyAll(ctx, cluster)
	if applyErr == nil {
		changing, err := r.proxiesChange(ctx, cluster)
		if changing || err != nil {
			return proxyAgain, err
		}
	}
	if err := r.report(ctx, cluster, applyErr); err != nil {
		return 0, err
	}
	return putBack, applyErr
}

func (r *reconciler) applyAll(ctx context.Context, cluster *v1beta1.ManagedCluster) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	in, err := r.input(ctx, cluster)
	if err != nil {
		return err
	}
	target, err := r.Tenants.Client(ctx, cluster.Spec.ID)
	if err != nil {
		return err
	}
	objects, err := addon.Render(in)
	if err != nil {
		return err
	}
	return r.applier.Apply(ctx, target, cluster.Spec.ID, objects...)
}

// input gathers what the components are rendered from.
func (r *reconciler) input(ctx context.Context, cluster *v1beta1.ManagedCluster) (addon.Input, error) {
	running, ok := r.Catalogue.Release(cluster.Status.ComponentsVersion())
	if !ok {
		return addon.Input{}, fmt.Errorf("version %q is not in the release catalogue", cluster.Status.ComponentsVersion())
	}
	var roots, metrics corev1.Secret
	for name, into := range map[string]*corev1.Secret{controlplane.RootsSecret: &roots, controlplane.MetricsSecret: &metrics} {
		key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(cluster.Spec.ID), Name: name}
		if err := r.reader.Get(ctx, key, into); err != nil {
			return addon.Input{}, fmt.Errorf("read secret %s: %w", key, err)
		}
	}
	nodes, err := r.nodes(ctx, cluster)
	if err != nil {
		return addon.Input{}, err
	}
	network := cluster.Spec.NetworkProfile
	images := r.Catalogue.Images
	return addon.Input{
		Images: addon.Images{
			Kube: running.KubeImage, CoreDNS: images["coredns"],
			KonnectivityAgent: images["konnectivity-agent"], MetricsServer: images["metrics-server"],
			Node: images["berth-node"],
		},
		ControlPlaneAddress: cluster.Status.ControlPlaneAddress,
		PodCIDR:             network.PodCIDR, DNSServiceIP: network.DNSServiceIP,
		NetworkAgent: network.NetworkPlugin != "none", NetworkPolicy: network.NetworkPolicy == "azure",
		Nodes: nodes,
		CA:    roots.Data[corev1.TLSCertKey], MetricsCert: metrics.Data["server.crt"], MetricsKey: metrics.Data["server.key"],
	}, nil
}

// nodes is how many nodes the cluster's pools are asked to have.
func (r *reconciler) nodes(ctx context.Context, cluster *v1beta1.ManagedCluster) (int32, error) {
	var pools v1beta1.AgentPoolList
	selector := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
	if err := r.client.List(ctx, &pools, client.InNamespace(cluster.Namespace), selector); err != nil {
		return 0, fmt.Errorf("list agent pools: %w", err)
	}
	var count int32
	for _, pool := range pools.Items {
		if pool.DeletionTimestamp.IsZero() && pool.Spec.Count != nil {
			count += *pool.Spec.Count
		}
	}
	return count, nil
}

// condition says how applying went.
func condition(cluster *v1beta1.ManagedCluster, applyErr error, now time.Time) metav1.Condition {
	c := metav1.Condition{
		Type: v1beta1.ConditionAddonsApplied, Status: metav1.ConditionTrue, Reason: "Applied",
		ObservedGeneration: cluster.Generation, LastTransitionTime: metav1.NewTime(now),
	}
	if applyErr != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, "ApplyFailed", applyErr.Error()
	}
	return c
}
