package containerservice

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/operation"
)

func (p provider) getCluster(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	return tagged(http.StatusOK, found.etag(), renderCluster(r, found)), nil
}

// tagged is an answer with its ETag in a header too.
func tagged(status int, etag string, body any) *arm.Response {
	return &arm.Response{Status: status, Header: http.Header{"Etag": {`"` + etag + `"`}}, Body: body}
}

func (p provider) listClusters(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	inGroup := r.Parameter("group")
	if inGroup != "" {
		if _, err := p.Group(ctx, r); err != nil {
			return nil, err
		}
	}
	views, err := p.views(ctx, r)
	if err != nil {
		return nil, err
	}
	items := make([]arm.Item, 0, len(views))
	for _, one := range views {
		if inGroup == "" || strings.EqualFold(one.cluster.Spec.ResourceGroup, inGroup) {
			items = append(items, arm.Item{Key: one.cluster.Name, Body: renderCluster(r, one)})
		}
	}
	return p.Page(r, items)
}

// views reads all clusters of a subscription with three lists, however many there are.
func (p provider) views(ctx context.Context, r *arm.Request) ([]*view, error) {
	var clusters v1beta1.ManagedClusterList
	var pools v1beta1.AgentPoolList
	var operations v1beta1.OperationList
	for _, list := range []client.ObjectList{&clusters, &pools, &operations} {
		if err := p.APIReader.List(ctx, list, client.InNamespace(r.Namespace())); err != nil {
			return nil, fmt.Errorf("list clusters and what belongs to them: %w", err)
		}
	}
	held := map[string]*v1beta1.Operation{}
	for i := range operations.Items {
		if op := &operations.Items[i]; !operation.Finished(op) {
			held[op.Name] = op
		}
	}
	byCluster := map[string][]v1beta1.AgentPool{}
	for _, pool := range pools.Items {
		owner := v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName)
		byCluster[owner] = append(byCluster[owner], pool)
	}
	views := make([]*view, 0, len(clusters.Items))
	for i := range clusters.Items {
		one := newView(&clusters.Items[i], byCluster[clusters.Items[i].Name], p.Catalogue)
		one.held = held
		views = append(views, one)
	}
	return views, nil
}

// deleteCluster starts the deletion; it preempts whatever else is going on. A
// second delete follows the first one's operation.
func (p provider) deleteCluster(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	if _, err := p.Group(ctx, r); err != nil {
		return nil, err
	}
	found, err := p.find(ctx, r)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return arm.NoContent()
	}
	if err := r.CheckPreconditions(found.etag()); err != nil {
		return nil, err
	}
	spec := &found.cluster.Spec
	return p.delete(ctx, r, found.cluster, v1beta1.OperationTarget{
		Kind: v1beta1.TargetManagedCluster, Name: found.cluster.Name, ResourceID: clusterID(r, spec),
	}, spec.Location)
}

func (p provider) delete(ctx context.Context, r *arm.Request, object client.Object, target v1beta1.OperationTarget, location string) (*arm.Response, error) {
	op, err := p.Deletion(ctx, object)
	if err == nil && op == nil {
		op, err = p.Begin(ctx, r, v1beta1.OperationSpec{Type: v1beta1.OperationDelete, State: v1beta1.StateDeleting, Target: target})
	}
	if err != nil {
		return nil, err
	}
	return p.Accepted(operationsBase(r, location), op, http.StatusAccepted, nil), nil
}

// operationsBase is where a location's operations are polled.
func operationsBase(r *arm.Request, location string) string {
	return r.SubscriptionPath() + "/providers/" + namespace + "/locations/" + arm.NormalLocation(location)
}
