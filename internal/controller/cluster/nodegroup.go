package cluster

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// nodeGroup makes the resource group that shows the machines (G1). A group of
// that name that is somebody else's is left alone (AKS: never an existing group).
func (r *reconciler) nodeGroup(ctx context.Context, p *pass) (bool, error) {
	wanted := nodeGroupOf(p.cluster)
	if wanted.Name == "" {
		return true, nil
	}
	var group v1beta1.ResourceGroup
	err := r.client.Get(ctx, client.ObjectKeyFromObject(wanted), &group)
	switch {
	case apierrors.IsNotFound(err):
		if err := r.client.Create(ctx, wanted); err != nil && !apierrors.IsAlreadyExists(err) {
			return false, fmt.Errorf("create node resource group: %w", err)
		}
	case err != nil:
		return false, fmt.Errorf("read node resource group: %w", err)
	case !strings.EqualFold(group.Spec.ManagedBy, wanted.Spec.ManagedBy):
		p.found.broken = &v1beta1.OperationError{
			Code:    "InvalidParameter",
			Message: fmt.Sprintf("the resource group %q exists already and cannot be the node resource group; choose another name", group.Spec.Name),
			Target:  "nodeResourceGroup",
		}
	}
	return true, nil
}

// deleteNodeGroup removes the node resource group with the cluster.
func (r *reconciler) deleteNodeGroup(ctx context.Context, p *pass) (bool, error) {
	wanted := nodeGroupOf(p.cluster)
	if wanted.Name == "" {
		return true, nil
	}
	var group v1beta1.ResourceGroup
	err := r.reader.Get(ctx, client.ObjectKeyFromObject(wanted), &group)
	if apierrors.IsNotFound(err) || err == nil && !strings.EqualFold(group.Spec.ManagedBy, wanted.Spec.ManagedBy) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read node resource group: %w", err)
	}
	if err := r.client.Delete(ctx, &group); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("delete node resource group: %w", err)
	}
	return true, nil
}

func nodeGroupOf(cluster *v1beta1.ManagedCluster) *v1beta1.ResourceGroup {
	name := cluster.Spec.NodeResourceGroup
	if name == "" {
		return &v1beta1.ResourceGroup{}
	}
	return &v1beta1.ResourceGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: v1beta1.ObjectName(name)},
		Spec:       v1beta1.ResourceGroupSpec{Name: name, Location: cluster.Spec.Location, ManagedBy: resourceID(cluster)},
	}
}

// resourceID is the cluster's ARM id.
func resourceID(cluster *v1beta1.ManagedCluster) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.ContainerService/managedClusters/%s",
		strings.TrimPrefix(cluster.Namespace, v1beta1.SubscriptionNamespace("")), cluster.Spec.ResourceGroup, cluster.Spec.Name)
}
