package advisory

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"berth.dev/berth/api/v1beta1"
)

// counter keeps how many clusters each advisory affects.
type counter struct{ client client.Client }

// setupCount registers the counter.
func setupCount(mgr ctrl.Manager) error {
	c := &counter{mgr.GetClient()}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("advisory-count").
		For(&v1beta1.Advisory{}).
		Watches(&v1beta1.ManagedCluster{}, handler.EnqueueRequestsFromMapFunc(c.all), builder.WithPredicates(advisoriesChanged())).
		Complete(c)
	if err != nil {
		return fmt.Errorf("set up counter of advisories: %w", err)
	}
	return nil
}

// advisoriesChanged lets through clusters that come or go with advisories, or have others.
func advisoriesChanged() predicate.Predicate {
	advised := func(object client.Object) []v1beta1.ClusterAdvisory {
		if cluster, ok := object.(*v1beta1.ManagedCluster); ok {
			return cluster.Status.Advisories
		}
		return nil
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return len(advised(e.Object)) > 0 },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return !equality.Semantic.DeepEqual(advised(e.ObjectOld), advised(e.ObjectNew))
		},
		DeleteFunc: func(e event.DeleteEvent) bool { return len(advised(e.Object)) > 0 },
	}
}

func (c *counter) all(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1beta1.AdvisoryList
	if err := c.client.List(ctx, &list); err != nil {
		return nil // each is counted again when it changes
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// Reconcile implements reconcile.Reconciler.
func (c *counter) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var advisory v1beta1.Advisory
	if err := c.client.Get(ctx, request.NamespacedName, &advisory); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	var clusters v1beta1.ManagedClusterList
	if err := c.client.List(ctx, &clusters); err != nil {
		return ctrl.Result{}, fmt.Errorf("list clusters: %w", err)
	}
	var count int32
	for i := range clusters.Items {
		if has(clusters.Items[i].Status.Advisories, advisory.Name) {
			count++
		}
	}
	if advisory.Status.AffectedClusters == count {
		return ctrl.Result{}, nil
	}
	before := advisory.DeepCopy()
	advisory.Status.AffectedClusters = count
	if err := c.client.Status().Patch(ctx, &advisory, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("count clusters of advisory %s: %w", advisory.Name, err)
	}
	return ctrl.Result{}, nil
}
