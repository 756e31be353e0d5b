package containerservice

import (
	"context"
	"net/http"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

// notAborted are the operations that go on to their end once they have begun.
var notAborted = []v1beta1.ProvisioningState{
	v1beta1.StateDeleting, v1beta1.StateStarting, v1beta1.StateStopping, v1beta1.StateRotatingCertificates,
}

func (p provider) abortCluster(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	return p.abort(ctx, r, found, found.cluster, clusterTarget(r, &found.cluster.Spec))
}

func (p provider) abortPool(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, pool, err := p.requirePool(ctx, r)
	if err != nil {
		return nil, err
	}
	return p.abort(ctx, r, found, pool, poolTarget(r, &found.cluster.Spec, pool.Spec.Name))
}

// abort ends the operation that holds an object (AKS: manage-abort-operations):
// nothing new is begun, and nothing is put back. Without one there is nothing to do.
func (p provider) abort(ctx context.Context, r *arm.Request, found *view, object client.Object, target v1beta1.OperationTarget) (*arm.Response, error) {
	running := found.held[object.GetAnnotations()[v1beta1.AnnotationOperation]]
	switch {
	case running == nil:
		return arm.NoContent()
	case slices.Contains(notAborted, running.Spec.State):
		return nil, arm.PendingOperation(found.cluster.Spec.Name, string(running.Spec.State))
	case running.Spec.Target.Kind != target.Kind:
		return nil, arm.Errorf(http.StatusConflict, "OperationNotAllowed",
			"Operation is not allowed: the operation that runs (%s) is one of the managed cluster '%s'. Abort it there.", running.Spec.State, found.cluster.Spec.Name)
	}
	op, err := p.Begin(ctx, r, v1beta1.OperationSpec{
		Type: v1beta1.OperationAbort, State: v1beta1.StateCanceled, Target: target, Aborts: running.Name,
	})
	if err != nil {
		return nil, err
	}
	return p.Accepted(operationsBase(r, found.cluster.Spec.Location), op, http.StatusAccepted, nil), nil
}

func clusterTarget(r *arm.Request, cluster *v1beta1.ManagedClusterSpec) v1beta1.OperationTarget {
	return v1beta1.OperationTarget{
		Kind: v1beta1.TargetManagedCluster, Name: v1beta1.ObjectName(cluster.ResourceGroup, cluster.Name), ResourceID: clusterID(r, cluster),
	}
}
