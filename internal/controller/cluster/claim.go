package cluster

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"berth.dev/berth/api/v1beta1"
)

// claim keeps the cluster until what is made for it is gone.
func (r *reconciler) claim(ctx context.Context, p *pass) (bool, error) {
	if p.cluster.Spec.ID == "" {
		p.found.broken = &v1beta1.OperationError{
			Code: "InternalError", Message: "the cluster has no id: it was written while the admission webhook was away; delete it and create it again",
		}
		return false, nil
	}
	before := p.cluster.DeepCopy()
	if !controllerutil.AddFinalizer(p.cluster, v1beta1.Finalizer) {
		return true, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, p.cluster, patch); err != nil {
		return false, fmt.Errorf("add finalizer: %w", err)
	}
	return true, nil
}

// letGo is the last step of a delete.
func (r *reconciler) letGo(ctx context.Context, p *pass) (bool, error) {
	before := p.cluster.DeepCopy()
	if !controllerutil.RemoveFinalizer(p.cluster, v1beta1.Finalizer) {
		return true, nil
	}
	if err := r.client.Patch(ctx, p.cluster, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("remove finalizer: %w", err)
	}
	r.Tenants.Drop(p.cluster.Spec.ID)
	r.looks.forget(p.cluster.UID)
	r.etcds.forget(p.cluster.UID)
	r.silent.forget(p.cluster.UID)
	r.finals.forget(p.cluster.UID)
	p.found.gone = true
	return true, nil
}
