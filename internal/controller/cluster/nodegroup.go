package cluster

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
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
	default:
		before := group.DeepCopy()
		if !tagNodeGroup(&group, p.cluster) {
			break
		}
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.client.Patch(ctx, &group, patch); err != nil {
			return false, fmt.Errorf("tag node resource group: %w", err)
		}
	}
	return true, nil
}

// annotationTaggedFor on a node resource group is what the cluster was asked for when the
// service last put its tags there.
const annotationTaggedFor = "berth.dev/tagged-for"

// tagNodeGroup puts the system's tags on the group, once for each time that the cluster
// is asked for something: in between they are as the customer leaves them (B4, G2). It
// says whether it changed the group.
func tagNodeGroup(group *v1beta1.ResourceGroup, cluster *v1beta1.ManagedCluster) bool {
	attempt := fmt.Sprintf("%s/%d/%s", cluster.Spec.ID, cluster.Generation, cluster.Annotations[v1beta1.AnnotationOperation])
	system := policy.NodeGroupTags(cluster.Spec)
	if group.Annotations[annotationTaggedFor] == attempt && policy.TagsRecorded(group, system) {
		return false
	}
	group.Spec.Tags = policy.WithSystemTags(group.Spec.Tags, system)
	metav1.SetMetaDataAnnotation(&group.ObjectMeta, v1beta1.AnnotationSystemTags, policy.RecordTags(system))
	metav1.SetMetaDataAnnotation(&group.ObjectMeta, annotationTaggedFor, attempt)
	delete(group.Annotations, v1beta1.AnnotationTagsChanged)
	return true
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
	group := &v1beta1.ResourceGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: v1beta1.ObjectName(name)},
		Spec:       v1beta1.ResourceGroupSpec{Name: name, Location: cluster.Spec.Location, ManagedBy: resourceID(cluster)},
	}
	tagNodeGroup(group, cluster)
	return group
}

// resourceID is the cluster's ARM id.
func resourceID(cluster *v1beta1.ManagedCluster) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.ContainerService/managedClusters/%s",
		strings.TrimPrefix(cluster.Namespace, v1beta1.SubscriptionNamespace("")), cluster.Spec.ResourceGroup, cluster.Spec.Name)
}
