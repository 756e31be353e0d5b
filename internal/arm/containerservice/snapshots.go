package containerservice

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
)

// snapshotBody is a snapshot of an agent pool on the wire. All calls on it are
// synchronous.
type snapshotBody struct {
	ID         string             `json:"id" arm:"read"`
	Name       string             `json:"name" arm:"read"`
	Type       string             `json:"type" arm:"read"`
	Location   string             `json:"location"`
	Tags       map[string]string  `json:"tags,omitempty"`
	SystemData *systemData        `json:"systemData,omitempty" arm:"read"`
	Properties snapshotProperties `json:"properties"`
}

type snapshotProperties struct {
	CreationData      creationData `json:"creationData"`
	SnapshotType      string       `json:"snapshotType,omitempty" arm:"only=NodePool"`
	KubernetesVersion string       `json:"kubernetesVersion,omitempty" arm:"read"`
	NodeImageVersion  string       `json:"nodeImageVersion,omitempty" arm:"read"`
	OSType            string       `json:"osType,omitempty" arm:"read"`
	OSSKU             string       `json:"osSku,omitempty" arm:"read"`
	VMSize            string       `json:"vmSize,omitempty" arm:"read"`
	EnableFIPS        bool         `json:"enableFIPS" arm:"read"`
}

type creationData struct {
	SourceResourceID string `json:"sourceResourceId,omitempty"`
}

func (p provider) snapshotRoutes() []arm.Route {
	const kind = "snapshots"
	get := http.MethodGet
	return []arm.Route{
		{Method: get, Path: subscriptionPath + "/providers/" + namespace + "/snapshots", Type: kind, Handle: p.listSnapshots},
		{Method: get, Path: snapshotsPath, Type: kind, Handle: p.listSnapshots},
		{Method: get, Path: snapshotPath, Type: kind, Handle: p.getSnapshot},
		{Method: http.MethodPut, Path: snapshotPath, Type: kind, Handle: p.putSnapshot},
		{Method: http.MethodPatch, Path: snapshotPath, Type: kind, Handle: p.patchSnapshot},
		{Method: http.MethodDelete, Path: snapshotPath, Type: kind, Handle: p.deleteSnapshot},
	}
}

func (p provider) listSnapshots(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	inGroup := r.Parameter("group")
	if inGroup != "" {
		if _, err := p.Group(ctx, r); err != nil {
			return nil, err
		}
	}
	var list v1beta1.SnapshotList
	if err := p.APIReader.List(ctx, &list, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var items []arm.Item
	for i := range list.Items {
		if one := &list.Items[i]; inGroup == "" || strings.EqualFold(one.Spec.ResourceGroup, inGroup) {
			items = append(items, arm.Item{Key: one.Name, Body: renderSnapshot(r, one)})
		}
	}
	return p.Page(r, items)
}

// findSnapshot reads the snapshot of that name in that group, nil if there is none.
func (p provider) findSnapshot(ctx context.Context, r *arm.Request, group, name string) (*v1beta1.Snapshot, error) {
	var snapshot v1beta1.Snapshot
	key := client.ObjectKey{Namespace: r.Namespace(), Name: v1beta1.ObjectName(group, name)}
	err := p.APIReader.Get(ctx, key, &snapshot)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", key, err)
	}
	// Group rg with snapshot a.b would be the object of group rg.a with snapshot b.
	if !strings.EqualFold(snapshot.Spec.ResourceGroup, group) || !strings.EqualFold(snapshot.Spec.Name, name) {
		return nil, nil
	}
	return &snapshot, nil
}

// requireSnapshot is the snapshot that the path names, or 404.
func (p provider) requireSnapshot(ctx context.Context, r *arm.Request) (*v1beta1.Snapshot, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	snapshot, err := p.findSnapshot(ctx, r, group.Spec.Name, r.Parameter("snapshot"))
	if err == nil && snapshot == nil {
		err = arm.ResourceNotFound(snapshotType, r.Parameter("snapshot"), group.Spec.Name)
	}
	return snapshot, err
}

func (p provider) getSnapshot(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	snapshot, err := p.requireSnapshot(ctx, r)
	if err != nil {
		return nil, err
	}
	return arm.OK(renderSnapshot(r, snapshot))
}

// putSnapshot takes a snapshot, or replaces the tags of one that there is.
func (p provider) putSnapshot(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := arm.RefuseDeleting(group); err != nil {
		return nil, err
	}
	var body snapshotBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if err := arm.CheckTags(body.Tags); err != nil {
		return nil, err
	}
	existing, err := p.findSnapshot(ctx, r, group.Spec.Name, r.Parameter("snapshot"))
	if err != nil {
		return nil, err
	}
	if existing == nil {
		return p.takeSnapshot(ctx, r, group, &body)
	}
	if source := body.Properties.CreationData.SourceResourceID; source != "" && !strings.EqualFold(source, existing.Spec.CreationData.SourceResourceID) {
		return nil, arm.Errorf(http.StatusBadRequest, policy.CodePropertyChange,
			"Changing property 'properties.creationData.sourceResourceId' is not allowed: the snapshot was taken of '%s'. Delete it first, or choose another name.", existing.Spec.CreationData.SourceResourceID)
	}
	return p.tagSnapshot(ctx, r, existing, body.Tags)
}

func (p provider) tagSnapshot(ctx context.Context, r *arm.Request, snapshot *v1beta1.Snapshot, tags map[string]string) (*arm.Response, error) {
	snapshot.Spec.Tags = tags
	if err := p.Client.Update(ctx, snapshot); err != nil {
		return nil, fmt.Errorf("write tags of snapshot %s: %w", snapshot.Name, err)
	}
	return arm.OK(renderSnapshot(r, snapshot))
}

func (p provider) takeSnapshot(ctx context.Context, r *arm.Request, group *v1beta1.ResourceGroup, body *snapshotBody) (*arm.Response, error) {
	name := r.Parameter("snapshot")
	if !policy.ValidClusterName(name) {
		return nil, arm.InvalidParameter("name", "The value of parameter name is invalid: '%s' must be 1 to 63 letters, digits, underscores and hyphens. Please see https://aka.ms/aks-naming-rules", name)
	}
	location, err := p.CheckLocation(ctx, body.Location, snapshotType)
	if err != nil {
		return nil, err
	}
	source, pool, err := p.sourcePool(ctx, r, body.Properties.CreationData.SourceResourceID)
	if err != nil {
		return nil, err
	}
	snapshot := &v1beta1.Snapshot{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.Namespace(), Name: v1beta1.ObjectName(group.Spec.Name, name),
			Labels: map[string]string{v1beta1.LabelResourceGroup: operation.LabelValue(group.Name)},
		},
		Spec: v1beta1.SnapshotSpec{
			ResourceGroup: group.Spec.Name, Name: name, Location: location, Tags: body.Tags,
			CreationData:      v1beta1.CreationData{SourceResourceID: clusterID(r, &source.cluster.Spec) + "/agentPools/" + pool.Spec.Name},
			KubernetesVersion: pool.Status.CurrentOrchestratorVersion, NodeImageVersion: pool.Status.NodeImageVersion,
			OSType: pool.Spec.OSType, OSSKU: pool.Spec.OSSKU, VMSize: pool.Spec.VMSize,
		},
	}
	if err := p.Client.Create(ctx, snapshot); err != nil {
		return nil, fmt.Errorf("write snapshot %s: %w", snapshot.Name, err)
	}
	return &arm.Response{Status: http.StatusCreated, Body: renderSnapshot(r, snapshot)}, nil
}

func (p provider) patchSnapshot(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	snapshot, err := p.requireSnapshot(ctx, r)
	if err != nil {
		return nil, err
	}
	var body struct {
		Tags map[string]string `json:"tags"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if err := arm.CheckTags(body.Tags); err != nil {
		return nil, err
	}
	if body.Tags == nil {
		return arm.OK(renderSnapshot(r, snapshot))
	}
	return p.tagSnapshot(ctx, r, snapshot, body.Tags)
}

func (p provider) deleteSnapshot(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	snapshot, err := p.findSnapshot(ctx, r, group.Spec.Name, r.Parameter("snapshot"))
	if err != nil {
		return nil, err
	}
	if snapshot == nil {
		return arm.NoContent()
	}
	if err := p.Client.Delete(ctx, snapshot); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("delete snapshot %s: %w", snapshot.Name, err)
	}
	return &arm.Response{Status: http.StatusOK}, nil
}

func renderSnapshot(r *arm.Request, snapshot *v1beta1.Snapshot) *snapshotBody {
	spec := &snapshot.Spec
	return &snapshotBody{
		ID:   r.GroupPath(spec.ResourceGroup) + "/providers/" + snapshotType + "/" + spec.Name,
		Name: spec.Name, Type: snapshotType, Location: spec.Location, Tags: spec.Tags,
		SystemData: &systemData{CreatedAt: snapshot.CreationTimestamp.UTC().Format(time.RFC3339)},
		Properties: snapshotProperties{
			CreationData: creationData{SourceResourceID: spec.CreationData.SourceResourceID}, SnapshotType: "NodePool",
			KubernetesVersion: spec.KubernetesVersion, NodeImageVersion: spec.NodeImageVersion,
			OSType: spec.OSType, OSSKU: spec.OSSKU, VMSize: spec.VMSize,
		},
	}
}
