package containerservice

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// view is a cluster as it is now: itself, its pools, and the operations that hold
// any of them.
type view struct {
	cluster   *v1beta1.ManagedCluster
	pools     []v1beta1.AgentPool
	held      map[string]*v1beta1.Operation
	catalogue *release.Catalogue
}

// find reads the cluster that the path names, nil if there is none.
func (p provider) find(ctx context.Context, r *arm.Request) (*view, error) {
	return p.findCluster(ctx, r, r.Parameter("group"), r.Parameter("cluster"))
}

// findCluster reads a cluster of the request's subscription, nil if there is none.
func (p provider) findCluster(ctx context.Context, r *arm.Request, group, name string) (*view, error) {
	var cluster v1beta1.ManagedCluster
	key := client.ObjectKey{Namespace: r.Namespace(), Name: v1beta1.ObjectName(group, name)}
	err := p.APIReader.Get(ctx, key, &cluster)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read cluster %s: %w", key, err)
	}
	// Group rg with cluster a.b would be the object of group rg.a with cluster b.
	if !strings.EqualFold(cluster.Spec.ResourceGroup, group) || !strings.EqualFold(cluster.Spec.Name, name) {
		return nil, nil
	}
	var pools v1beta1.AgentPoolList
	selector := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
	if err := p.APIReader.List(ctx, &pools, client.InNamespace(r.Namespace()), selector); err != nil {
		return nil, fmt.Errorf("list pools of %s: %w", key, err)
	}
	found := newView(&cluster, pools.Items, p.Catalogue)
	return found, p.hold(ctx, found)
}

// require is find for what only exists together with its cluster.
func (p provider) require(ctx context.Context, r *arm.Request) (*view, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	found, err := p.find(ctx, r)
	if err == nil && found == nil {
		err = arm.ResourceNotFound(clusterType, r.Parameter("cluster"), group.Spec.Name)
	}
	return found, err
}

// requireParent is require for child resources, whose missing parent has a code of its own.
func (p provider) requireParent(ctx context.Context, r *arm.Request) (*view, error) {
	if _, err := p.Group(ctx, r); err != nil {
		return nil, err
	}
	found, err := p.find(ctx, r)
	if err == nil && found == nil {
		err = arm.ParentResourceNotFound(clusterType, r.Parameter("cluster"))
	}
	return found, err
}

func newView(cluster *v1beta1.ManagedCluster, pools []v1beta1.AgentPool, catalogue *release.Catalogue) *view {
	slices.SortFunc(pools, func(a, b v1beta1.AgentPool) int { return strings.Compare(a.Spec.Name, b.Spec.Name) })
	return &view{cluster: cluster, pools: pools, held: map[string]*v1beta1.Operation{}, catalogue: catalogue}
}

// hold finds the unfinished operations of a view.
func (p provider) hold(ctx context.Context, v *view) error {
	asked := map[string]bool{}
	objects := []client.Object{v.cluster}
	for i := range v.pools {
		objects = append(objects, &v.pools[i])
	}
	for _, object := range objects {
		id := object.GetAnnotations()[v1beta1.AnnotationOperation]
		if id == "" || asked[id] {
			continue
		}
		asked[id] = true
		op, err := p.Active(ctx, object)
		if err != nil {
			return err
		}
		if op != nil {
			v.held[id] = op
		}
	}
	return nil
}

func (v *view) pool(name string) *v1beta1.AgentPool {
	for i := range v.pools {
		if v.pools[i].Spec.Name == name {
			return &v.pools[i]
		}
	}
	return nil
}

// others are the profiles of all pools but the one of this name.
func (v *view) others(name string) []v1beta1.AgentPoolProfile {
	var profiles []v1beta1.AgentPoolProfile
	for i := range v.pools {
		if v.pools[i].Spec.Name != name && v.pools[i].DeletionTimestamp.IsZero() {
			profiles = append(profiles, v.pools[i].Spec.AgentPoolProfile)
		}
	}
	return profiles
}

// running is the version of the control plane: what runs, or what it will run.
func (v *view) running() string {
	if v.cluster.Status.CurrentKubernetesVersion != "" {
		return v.cluster.Status.CurrentKubernetesVersion
	}
	resolved, _ := v.catalogue.Resolve(v.cluster.Spec.KubernetesVersion)
	return resolved.Version
}

// poolVersion is the version that a pool is shown with: asked for, or what it has.
func (v *view) poolVersion(pool *v1beta1.AgentPool) string {
	if pool.Spec.OrchestratorVersion != "" {
		return pool.Spec.OrchestratorVersion
	}
	return v.poolRunning(pool)
}

// poolRunning is the version of a pool's nodes: what runs, or what it will run.
func (v *view) poolRunning(pool *v1beta1.AgentPool) string {
	if pool.Status.CurrentOrchestratorVersion != "" {
		return pool.Status.CurrentOrchestratorVersion
	}
	version, _ := policy.Versions{Catalogue: v.catalogue}.PoolTarget(pool.Spec.OrchestratorVersion, "", v.running())
	return version
}

// state is what is going on with an object: its unfinished operation's state, or
// what its controller says.
func (v *view) state(object client.Object, reported v1beta1.ProvisioningState) string {
	op := v.held[object.GetAnnotations()[v1beta1.AnnotationOperation]]
	switch {
	case op != nil:
		return string(op.Spec.State)
	case !object.GetDeletionTimestamp().IsZero():
		return string(v1beta1.StateDeleting)
	case operation.Aborted(object):
		return string(v1beta1.StateCanceled)
	case reported == "":
		return string(v1beta1.StateCreating)
	default:
		return string(reported)
	}
}

// etag changes with the cluster's desired state and with every operation on it.
func (v *view) etag() string {
	if v == nil {
		return ""
	}
	return arm.DerivedID("cluster", v.cluster.UID, v.cluster.Generation, v.cluster.Annotations[v1beta1.AnnotationOperation])
}

// poolETag changes with the pool and with its cluster (AKS: use-etags): a cluster
// operation changes every pool's ETag, a pool operation only its own.
func (v *view) poolETag(pool *v1beta1.AgentPool) string {
	if pool == nil {
		return ""
	}
	return arm.DerivedID("pool", v.etag(), pool.UID, pool.Generation, pool.Annotations[v1beta1.AnnotationOperation])
}
