package resources

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

const groupType = "Microsoft.Resources/resourceGroups"

// groupBody is a resource group on the wire.
type groupBody struct {
	ID         string            `json:"id" arm:"read"`
	Name       string            `json:"name" arm:"read"`
	Type       string            `json:"type" arm:"read"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags,omitempty"`
	ManagedBy  string            `json:"managedBy,omitempty"`
	Properties groupProperties   `json:"properties"`
}

type groupProperties struct {
	ProvisioningState string `json:"provisioningState" arm:"read"`
}

func (p provider) putGroup(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var body groupBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	name := r.Parameter("group")
	if !policy.ValidGroupName(name) {
		return nil, arm.Errorf(http.StatusBadRequest, "InvalidResourceGroup",
			"The resource group name '%s' is invalid: 1 to 90 letters, digits, underscores, parentheses, hyphens and full stops, not ending with a full stop.", name)
	}
	if err := arm.CheckTags(body.Tags); err != nil {
		return nil, err
	}
	location, err := p.CheckLocation(ctx, body.Location, groupType)
	if err != nil {
		return nil, err
	}
	group, err := p.FindGroup(ctx, r, name)
	if err != nil {
		return nil, err
	}
	if err := checkManager(group, body.ManagedBy); err != nil {
		return nil, err
	}
	if group == nil {
		return p.createGroup(ctx, r, v1beta1.ResourceGroupSpec{Name: name, Location: location, Tags: body.Tags})
	}
	if err := arm.RefuseDeleting(group); err != nil {
		return nil, err
	}
	if arm.NormalLocation(group.Spec.Location) != location {
		return nil, arm.Errorf(http.StatusConflict, "InvalidResourceGroupLocation",
			"Invalid resource group location '%s'. The Resource group already exists in location '%s'.", location, group.Spec.Location)
	}
	return p.updateGroup(ctx, r, group, body.Tags)
}

func (p provider) createGroup(ctx context.Context, r *arm.Request, spec v1beta1.ResourceGroupSpec) (*arm.Response, error) {
	group := &v1beta1.ResourceGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace(), Name: v1beta1.ObjectName(spec.Name)},
		Spec:       spec,
	}
	group.Finalizers = []string{v1beta1.Finalizer}
	if err := p.Client.Create(ctx, group); err != nil {
		return nil, fmt.Errorf("create resource group %s: %w", spec.Name, err)
	}
	return &arm.Response{Status: http.StatusCreated, Body: renderGroup(r, group)}, nil
}

func (p provider) updateGroup(ctx context.Context, r *arm.Request, group *v1beta1.ResourceGroup, tags map[string]string) (*arm.Response, error) {
	before := group.Spec.Tags
	group.Spec.Tags = tags
	if group.Spec.ManagedBy != "" {
		// Who changed the tags of a node resource group counts (B4).
		var earlier v1beta1.TagsChanged
		// A note that cannot be read names nobody.
		_ = json.Unmarshal([]byte(group.Annotations[v1beta1.AnnotationTagsChanged]), &earlier)
		now := v1beta1.TagsChanged{Time: metav1.NewTime(p.Now().Truncate(time.Second)), By: r.Caller.Name()}
		text, err := json.Marshal(policy.WhoChanged(earlier, before, policy.RecordedTags(group), now))
		if err != nil {
			return nil, fmt.Errorf("note who changed tags: %w", err)
		}
		metav1.SetMetaDataAnnotation(&group.ObjectMeta, v1beta1.AnnotationTagsChanged, string(text))
	}
	if err := p.Client.Update(ctx, group); err != nil {
		return nil, fmt.Errorf("update resource group %s: %w", group.Spec.Name, err)
	}
	return arm.OK(renderGroup(r, group))
}

// groupPatch is what can be changed of a group.
type groupPatch struct {
	ID        string            `json:"id" arm:"read"`
	Name      string            `json:"name" arm:"read"`
	Type      string            `json:"type" arm:"read"`
	Location  string            `json:"location" arm:"read"`
	Tags      map[string]string `json:"tags"`
	ManagedBy string            `json:"managedBy"`
}

func (p provider) patchGroup(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var body groupPatch
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := arm.RefuseDeleting(group); err != nil {
		return nil, err
	}
	if err := checkManager(group, body.ManagedBy); err != nil {
		return nil, err
	}
	tags := group.Spec.Tags
	if body.Tags != nil {
		tags = body.Tags
	}
	if err := arm.CheckTags(tags); err != nil {
		return nil, err
	}
	return p.updateGroup(ctx, r, group, tags)
}

// checkManager refuses to make a group the node resource group of a cluster, or to
// take it from one: only the cluster's controller says whose it is (G1).
func checkManager(group *v1beta1.ResourceGroup, sent string) error {
	manager := ""
	if group != nil {
		manager = group.Spec.ManagedBy
	}
	if sent == "" || strings.EqualFold(sent, manager) {
		return nil
	}
	return arm.Errorf(http.StatusConflict, "ResourceGroupManagedByMismatch",
		"The field managedBy cannot be set to '%s': it is '%s', and only Berth sets it. Leave it out.", sent, manager)
}

func (p provider) getGroup(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	return arm.OK(renderGroup(r, group))
}

func (p provider) headGroup(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	if _, err := p.Group(ctx, r); err != nil {
		return nil, err
	}
	return arm.NoContent()
}

func (p provider) listGroups(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	wanted, err := parseFilter(r.Query("$filter"), "tagName", "tagValue", "name", "location")
	if err != nil {
		return nil, err
	}
	var list v1beta1.ResourceGroupList
	if err := p.APIReader.List(ctx, &list, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list resource groups: %w", err)
	}
	var items []arm.Item
	for i := range list.Items {
		spec := list.Items[i].Spec
		if wanted.accepts(map[string]string{"name": spec.Name, "location": spec.Location}, spec.Tags) {
			items = append(items, arm.Item{Key: list.Items[i].Name, Body: renderGroup(r, &list.Items[i])})
		}
	}
	return p.Page(r, items)
}

// deleteGroup starts the operation that takes the group and all that is in it. A
// second delete follows the first one's operation.
func (p provider) deleteGroup(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	if kinds := r.Query("forceDeletionTypes"); kinds != "" {
		return nil, arm.InvalidParameter("forceDeletionTypes", "The query parameter forceDeletionTypes is not supported: Berth has no resources of these types.")
	}
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	if manager := group.Spec.ManagedBy; manager != "" {
		return nil, arm.Errorf(http.StatusConflict, "OperationNotAllowed",
			"Operation is not allowed: the resource group '%s' holds the nodes of '%s' and is deleted with it.", group.Spec.Name, manager)
	}
	op, err := p.Deletion(ctx, group)
	if err != nil {
		return nil, err
	}
	if op == nil {
		op, err = p.Begin(ctx, r, v1beta1.OperationSpec{
			Type: v1beta1.OperationDelete, State: v1beta1.StateDeleting,
			Target: v1beta1.OperationTarget{Kind: v1beta1.TargetResourceGroup, Name: group.Name, ResourceID: r.GroupPath(group.Spec.Name)},
		})
	}
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	header.Set("Location", p.PublicURL+r.SubscriptionPath()+"/operationresults/"+op.Name+"?api-version="+r.APIVersion)
	header.Set("Retry-After", "1")
	return &arm.Response{Status: http.StatusAccepted, Header: header}, nil
}

func renderGroup(r *arm.Request, group *v1beta1.ResourceGroup) groupBody {
	state := group.Status.ProvisioningState
	switch {
	case !group.DeletionTimestamp.IsZero():
		state = v1beta1.StateDeleting
	case state == "":
		state = v1beta1.StateSucceeded
	}
	return groupBody{
		ID: r.GroupPath(group.Spec.Name), Name: group.Spec.Name, Type: groupType, Location: arm.NormalLocation(group.Spec.Location),
		Tags: group.Spec.Tags, ManagedBy: group.Spec.ManagedBy, Properties: groupProperties{ProvisioningState: string(state)},
	}
}
