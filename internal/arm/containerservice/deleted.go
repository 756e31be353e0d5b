package containerservice

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

// deletedBody is a deleted cluster that can be recovered (X3), in the form that other
// services of Azure give to what they keep after a deletion. AKS has none.
type deletedBody struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties deletedProperties `json:"properties"`
}

type deletedProperties struct {
	ManagedClusterID   string `json:"managedClusterId"`
	KubernetesVersion  string `json:"kubernetesVersion"`
	DeletionDate       string `json:"deletionDate"`
	ScheduledPurgeDate string `json:"scheduledPurgeDate"`
	// ProvisioningState is Deleting while it is purged, and else Succeeded.
	ProvisioningState v1beta1.ProvisioningState `json:"provisioningState"`
	// Message says why a purge does not come to its end.
	Message string `json:"message,omitempty"`
}

func (p provider) deletedRoutes() []arm.Route {
	const kind = "deletedManagedClusters"
	const all = "/providers/" + namespace + "/" + kind
	inGroup := subscriptionPath + "/resourceGroups/{group}" + all
	one := inGroup + "/{deleted}"
	return []arm.Route{
		{Method: http.MethodGet, Path: subscriptionPath + all, Type: kind, Limit: listBySubscription, Handle: p.listDeleted},
		{Method: http.MethodGet, Path: inGroup, Type: kind, Limit: listByGroup, Handle: p.listDeleted},
		{Method: http.MethodGet, Path: one, Type: kind, Handle: p.getDeleted},
		{Method: http.MethodDelete, Path: one, Type: kind, Handle: p.purgeDeleted},
		{Method: http.MethodPost, Path: one + "/recover", Type: kind, Handle: p.recoverDeleted},
	}
}

// listDeleted does not ask for the group: it may be deleted as well.
func (p provider) listDeleted(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var list v1beta1.DeletedClusterList
	if err := p.APIReader.List(ctx, &list, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list deleted clusters: %w", err)
	}
	inGroup := r.Parameter("group")
	var items []arm.Item
	for i := range list.Items {
		one := &list.Items[i]
		if inGroup == "" || strings.EqualFold(one.Spec.Cluster.ResourceGroup, inGroup) {
			items = append(items, arm.Item{Key: one.Name, Body: renderDeleted(r, one)})
		}
	}
	return p.Page(r, items)
}

// deletedID is the form of a deleted cluster's name: that of ManagedCluster.spec.id.
var deletedID = regexp.MustCompile(`^[a-z2-7]{12}$`)

// requireDeleted is the deleted cluster that the path names, or 404.
func (p provider) requireDeleted(ctx context.Context, r *arm.Request) (*v1beta1.DeletedCluster, error) {
	group, name := r.Parameter("group"), strings.ToLower(r.Parameter("deleted"))
	missing := arm.ResourceNotFound(deletedType, name, group)
	if !deletedID.MatchString(name) {
		return nil, missing
	}
	var deleted v1beta1.DeletedCluster
	err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: r.Namespace(), Name: name}, &deleted)
	if apierrors.IsNotFound(err) || err == nil && !strings.EqualFold(deleted.Spec.Cluster.ResourceGroup, group) {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("read deleted cluster %s: %w", name, err)
	}
	return &deleted, nil
}

func (p provider) getDeleted(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	deleted, err := p.requireDeleted(ctx, r)
	if err != nil {
		return nil, err
	}
	return arm.OK(renderDeleted(r, deleted))
}

// purgeDeleted ends what could be recovered, for good. The backups go after the answer.
func (p provider) purgeDeleted(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	deleted, err := p.requireDeleted(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := p.refuseEnding(ctx, deleted); err != nil {
		return nil, err
	}
	err = p.Client.Delete(ctx, deleted, client.Preconditions{ResourceVersion: &deleted.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("purge deleted cluster %s: %w", deleted.Name, err)
	}
	return &arm.Response{Status: http.StatusAccepted}, nil
}

// refuseEnding refuses to touch what belongs to a cluster that is there still, or again.
func (p provider) refuseEnding(ctx context.Context, deleted *v1beta1.DeletedCluster) error {
	spec := &deleted.Spec.Cluster
	var cluster v1beta1.ManagedCluster
	err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: deleted.Namespace, Name: v1beta1.ObjectName(spec.ResourceGroup, spec.Name)}, &cluster)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read cluster %s: %w", spec.Name, err)
	case !cluster.DeletionTimestamp.IsZero():
		return arm.PendingOperation(spec.Name, string(v1beta1.StateDeleting))
	case cluster.Spec.ID == spec.ID:
		return arm.PendingOperation(spec.Name, string(v1beta1.StateCreating))
	default:
		return nil
	}
}

// recoverDeleted makes the cluster again, as it was when it was deleted.
func (p provider) recoverDeleted(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := arm.RefuseDeleting(group); err != nil {
		return nil, err
	}
	deleted, err := p.requireDeleted(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := p.refuseRecovery(ctx, r, deleted); err != nil {
		return nil, err
	}
	if err := p.holdPurge(ctx, deleted); err != nil {
		return nil, err
	}
	spec := deleted.Spec.Cluster.DeepCopy()
	spec.PowerState = nil // also of what was kept by a Berth that kept it
	op, err := p.Begin(ctx, r, clusterPut(r, spec, deleted.Spec.AgentPools, v1beta1.StateCreating))
	if err != nil {
		return nil, err
	}
	return p.Accepted(operationsBase(r, spec.Location), op, http.StatusAccepted, nil), nil
}

func (p provider) refuseRecovery(ctx context.Context, r *arm.Request, deleted *v1beta1.DeletedCluster) error {
	spec := &deleted.Spec.Cluster
	if due, _ := policy.PurgeDue(deleted, p.Now()); due || !deleted.DeletionTimestamp.IsZero() {
		return arm.Errorf(http.StatusConflict, "OperationNotAllowed", "The deleted cluster '%s' is being purged and can not be recovered any more.", spec.Name)
	}
	if err := p.refuseEnding(ctx, deleted); err != nil {
		return err
	}
	taken, err := p.findCluster(ctx, r, spec.ResourceGroup, spec.Name)
	if err != nil {
		return err
	}
	if taken != nil {
		return arm.Errorf(http.StatusConflict, "Conflict", "Another cluster has the name '%s' in resource group '%s'. Delete it before you recover this one.", spec.Name, spec.ResourceGroup)
	}
	if _, known := p.Catalogue.Release(spec.KubernetesVersion); !known {
		return arm.Errorf(http.StatusBadRequest, "K8sVersionNotSupported", "The cluster ran Kubernetes %s, which this Berth does not have. Add it with `berth release add %s`.", spec.KubernetesVersion, spec.KubernetesVersion)
	}
	if err := p.refuseTakenGroup(ctx, r, spec); err != nil {
		return err
	}
	var pools []v1beta1.AgentPoolProfile
	for i := range deleted.Spec.AgentPools {
		pools = append(pools, deleted.Spec.AgentPools[i].AgentPoolProfile)
	}
	return p.refuseQuota(ctx, r, spec, pools)
}

// holdPurge has the cluster kept while it comes back; a purge that is faster wins.
func (p provider) holdPurge(ctx context.Context, deleted *v1beta1.DeletedCluster) error {
	if kept := p.Now().Add(policy.RecoveryGrace); kept.After(deleted.Spec.ScheduledPurgeDate.Time) {
		deleted.Spec.ScheduledPurgeDate = metav1.NewTime(kept)
	}
	if err := p.Client.Update(ctx, deleted); err != nil {
		return fmt.Errorf("keep deleted cluster %s: %w", deleted.Name, err)
	}
	return nil
}

func renderDeleted(r *arm.Request, deleted *v1beta1.DeletedCluster) *deletedBody {
	spec := &deleted.Spec.Cluster
	state := v1beta1.StateSucceeded
	if !deleted.DeletionTimestamp.IsZero() {
		state = v1beta1.StateDeleting
	}
	return &deletedBody{
		ID:   r.GroupPath(spec.ResourceGroup) + "/providers/" + deletedType + "/" + deleted.Name,
		Name: deleted.Name, Type: deletedType, Location: spec.Location, Tags: spec.Tags,
		Properties: deletedProperties{
			ManagedClusterID: clusterID(r, spec), KubernetesVersion: spec.KubernetesVersion,
			DeletionDate:       deleted.Spec.DeletionDate.UTC().Format(time.RFC3339),
			ScheduledPurgeDate: deleted.Spec.ScheduledPurgeDate.UTC().Format(time.RFC3339),
			ProvisioningState:  state, Message: purgeMessage(deleted),
		},
	}
}

// purgeMessage leaves out why: stores are the operator's.
func purgeMessage(deleted *v1beta1.DeletedCluster) string {
	if deleted.Status.Message == "" {
		return ""
	}
	return "Its backups could not be removed yet. It is tried again."
}
