package cluster

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// workloads runs etcd and the kube process, and sees whether the pods that run
// are the ones asked for.
func (r *reconciler) workloads(ctx context.Context, p *pass) (bool, error) {
	if p.input.Stopped {
		return true, r.end(ctx, p)
	}
	objects := controlplane.Workloads(p.input)
	if err := r.applier.Apply(ctx, r.client, p.input.ID, objects...); err != nil {
		return false, err
	}
	wanted, ok := objects[len(objects)-1].(*appsv1.Deployment)
	if !ok {
		return false, fmt.Errorf("the last workload is a %T, not a Deployment", objects[len(objects)-1])
	}
	var deployment appsv1.Deployment
	err := r.reader.Get(ctx, client.ObjectKeyFromObject(wanted), &deployment)
	if apierrors.IsNotFound(err) {
		r.applier.Forget(p.input.ID)
		p.lookIn(lookAgain)
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read deployment: %w", err)
	}
	p.found.rolledOut = rolledOut(&deployment, wanted)
	return true, nil
}

// rolledOut says whether only pods of the wanted template are left. Whether they
// are ready is asked of the API server itself.
func rolledOut(deployment, wanted *appsv1.Deployment) bool {
	return allUpdated(deployment) &&
		deployment.Spec.Template.Spec.Containers[0].Image == wanted.Spec.Template.Spec.Containers[0].Image
}

func allUpdated(deployment *appsv1.Deployment) bool {
	status := deployment.Status
	return status.ObservedGeneration >= deployment.Generation &&
		status.UpdatedReplicas >= 1 && status.Replicas == status.UpdatedReplicas
}

func namespaceOf(cluster *v1beta1.ManagedCluster) string {
	return v1beta1.ControlPlaneNamespace(cluster.Spec.ID)
}
