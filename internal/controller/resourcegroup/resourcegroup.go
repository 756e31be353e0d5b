// Package resourcegroup deletes what is in a resource group with the group, and
// writes a ResourceGroup's status.
package resourcegroup

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"berth.dev/berth/api/v1beta1"
)

// Config is what the controller needs besides the manager: nothing yet.
type Config struct{}

type reconciler struct {
	client client.Client
	reader client.Reader // not a cache: a cluster that it lags behind on would be left behind
}

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, _ Config) error {
	r := &reconciler{client: mgr.GetClient(), reader: mgr.GetAPIReader()}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("resourcegroup").
		For(&v1beta1.ResourceGroup{}).
		Watches(&v1beta1.ManagedCluster{}, handler.EnqueueRequestsFromMapFunc(groupRequest)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up resource group controller: %w", err)
	}
	return nil
}

func groupRequest(_ context.Context, object client.Object) []ctrl.Request {
	cluster, ok := object.(*v1beta1.ManagedCluster)
	if !ok || cluster.DeletionTimestamp.IsZero() {
		return nil
	}
	return []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: cluster.Namespace, Name: v1beta1.ObjectName(cluster.Spec.ResourceGroup)}}}
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var group v1beta1.ResourceGroup
	if err := r.client.Get(ctx, request.NamespacedName, &group); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	var err error
	if group.DeletionTimestamp.IsZero() {
		err = r.keep(ctx, &group)
	} else {
		err = r.remove(ctx, &group)
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("resource group %s: %w", request, err)
	}
	return ctrl.Result{}, nil
}

func (r *reconciler) keep(ctx context.Context, group *v1beta1.ResourceGroup) error {
	before := group.DeepCopy()
	if controllerutil.AddFinalizer(group, v1beta1.Finalizer) {
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.client.Patch(ctx, group, patch); err != nil {
			return fmt.Errorf("add finalizer: %w", err)
		}
	}
	return r.report(ctx, group, v1beta1.StateSucceeded)
}

// remove deletes the group's clusters, after the last its snapshots, and lets the
// group go.
func (r *reconciler) remove(ctx context.Context, group *v1beta1.ResourceGroup) error {
	if err := r.report(ctx, group, v1beta1.StateDeleting); err != nil {
		return err
	}
	var clusters v1beta1.ManagedClusterList
	if err := r.reader.List(ctx, &clusters, client.InNamespace(group.Namespace)); err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	left := 0
	for i := range clusters.Items {
		cluster := &clusters.Items[i]
		if v1beta1.ObjectName(cluster.Spec.ResourceGroup) != group.Name {
			continue
		}
		left++
		if !cluster.DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.client.Delete(ctx, cluster); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete cluster %s: %w", cluster.Name, err)
		}
	}
	if left > 0 {
		return nil
	}
	if err := r.removeSnapshots(ctx, group); err != nil {
		return err
	}
	before := group.DeepCopy()
	if !controllerutil.RemoveFinalizer(group, v1beta1.Finalizer) {
		return nil
	}
	if err := r.client.Patch(ctx, group, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove finalizer: %w", err)
	}
	return nil
}

func (r *reconciler) removeSnapshots(ctx context.Context, group *v1beta1.ResourceGroup) error {
	var snapshots v1beta1.SnapshotList
	if err := r.reader.List(ctx, &snapshots, client.InNamespace(group.Namespace)); err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	for i := range snapshots.Items {
		snapshot := &snapshots.Items[i]
		if v1beta1.ObjectName(snapshot.Spec.ResourceGroup) != group.Name {
			continue
		}
		if err := r.client.Delete(ctx, snapshot); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete snapshot %s: %w", snapshot.Name, err)
		}
	}
	return nil
}

func (r *reconciler) report(ctx context.Context, group *v1beta1.ResourceGroup, state v1beta1.ProvisioningState) error {
	if group.Status.ProvisioningState == state {
		return nil
	}
	before := group.DeepCopy()
	group.Status.ProvisioningState = state
	if err := r.client.Status().Patch(ctx, group, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}
