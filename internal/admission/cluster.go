package admission

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
)

type clusterRules struct{ Rules }

// Default fills what was left out of a cluster and of the pools written with it.
func (r *clusterRules) Default(_ context.Context, cluster *v1beta1.ManagedCluster) error {
	if cluster.Spec.ID == "" {
		cluster.Spec.ID = operation.NewClusterID()
	}
	// A cluster that is there keeps what it runs when its spec says nothing.
	if cluster.Spec.KubernetesVersion == "" && cluster.ResourceVersion == "" {
		cluster.Spec.KubernetesVersion = r.Catalogue.DefaultAt(r.Now()).Version
	}
	policy.DefaultCluster(&cluster.Spec)
	for i := range cluster.Spec.AgentPoolProfiles {
		policy.DefaultPool(&cluster.Spec.AgentPoolProfiles[i], cluster.Spec.NetworkProfile, i == 0)
	}
	return nil
}

// ValidateCreate refuses what a PUT through ARM would be refused for.
func (r *clusterRules) ValidateCreate(ctx context.Context, cluster *v1beta1.ManagedCluster) (admission.Warnings, error) {
	if want := v1beta1.ObjectName(cluster.Spec.ResourceGroup, cluster.Spec.Name); cluster.Name != want {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("metadata.name is %q; the cluster %s of resource group %s is named %q", cluster.Name, cluster.Spec.Name, cluster.Spec.ResourceGroup, want))
	}
	var group v1beta1.ResourceGroup
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: v1beta1.ObjectName(cluster.Spec.ResourceGroup)}
	if err := r.Reader.Get(ctx, key, &group); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("resource group %q does not exist in namespace %s; create it first", cluster.Spec.ResourceGroup, cluster.Namespace))
		}
		return nil, fmt.Errorf("read resource group %s: %w", key, err)
	}
	locations, err := r.locations(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.checkID(ctx, cluster); err != nil {
		return nil, err
	}
	if was, err := r.deleted(ctx, cluster); err != nil || was != nil {
		return nil, r.checkRecovery(cluster, was, err)
	}
	pools := cluster.Spec.AgentPoolProfiles
	if len(pools) == 0 && cluster.Annotations[v1beta1.AnnotationOperation] != "" {
		return nil, r.checkOperation(ctx, cluster, locations)
	}
	return nil, refusal("ManagedCluster", cluster.Name, policy.ValidateCluster(policy.ClusterInput{
		New: &cluster.Spec, Pools: pools, Catalogue: r.Catalogue, Locations: locations, Now: r.Now(),
	}))
}

// clusterID is the form of an id, as operation.NewClusterID draws it.
var clusterID = regexp.MustCompile(`^[a-z2-7]{12}$`)

// checkID refuses an id that another cluster has or had: namespaces, volumes and backups
// are named by it.
func (r *clusterRules) checkID(ctx context.Context, cluster *v1beta1.ManagedCluster) error {
	id := cluster.Spec.ID
	if !clusterID.MatchString(id) {
		return apierrors.NewBadRequest(fmt.Sprintf("spec.id is %q, and has 12 letters and digits of base 32; leave it out, it is drawn", id))
	}
	var clusters v1beta1.ManagedClusterList
	var deleted v1beta1.DeletedClusterList
	for _, list := range []client.ObjectList{&clusters, &deleted} {
		if err := r.Reader.List(ctx, list); err != nil {
			return fmt.Errorf("list clusters: %w", err)
		}
	}
	taken := slices.ContainsFunc(clusters.Items, func(c v1beta1.ManagedCluster) bool {
		return c.Spec.ID == id && (c.Namespace != cluster.Namespace || c.Name != cluster.Name)
	}) || slices.ContainsFunc(deleted.Items, func(d v1beta1.DeletedCluster) bool { return d.Name == id && d.Namespace != cluster.Namespace })
	if taken {
		return apierrors.NewBadRequest(fmt.Sprintf("spec.id %q is another cluster's; leave it out, it is drawn", id))
	}
	return nil
}

// deleted is the cluster that comes back under its id; nil if this is a new one.
func (r *clusterRules) deleted(ctx context.Context, cluster *v1beta1.ManagedCluster) (*v1beta1.DeletedCluster, error) {
	var was v1beta1.DeletedCluster
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: cluster.Spec.ID}, &was)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read deleted cluster %s: %w", cluster.Spec.ID, err)
	}
	return &was, nil
}

// checkRecovery lets a cluster come back as it was, also where no new one could be made
// of its version any more, and refuses what changes it on the way (X3).
func (r *clusterRules) checkRecovery(cluster *v1beta1.ManagedCluster, was *v1beta1.DeletedCluster, err error) error {
	if err != nil {
		return err
	}
	old := &was.Spec.Cluster
	switch {
	case v1beta1.ObjectName(old.ResourceGroup, old.Name) != cluster.Name:
		return apierrors.NewBadRequest(fmt.Sprintf("spec.id is that of the deleted cluster %s of resource group %s; leave it out", old.Name, old.ResourceGroup))
	case !was.DeletionTimestamp.IsZero():
		return apierrors.NewBadRequest(fmt.Sprintf("the deleted cluster %s is being purged and cannot be recovered any more", old.Name))
	}
	return refusal("ManagedCluster", cluster.Name, policy.ValidateCluster(policy.ClusterInput{
		Old: old, New: &cluster.Spec, Running: old.KubernetesVersion, Catalogue: r.Catalogue, Now: r.Now(),
	}))
}

// checkOperation validates a cluster that ARM writes: its pools stand in the
// operation and become AgentPools a moment later.
func (r *clusterRules) checkOperation(ctx context.Context, cluster *v1beta1.ManagedCluster, locations []string) error {
	var op v1beta1.Operation
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: cluster.Annotations[v1beta1.AnnotationOperation]}
	if err := r.Reader.Get(ctx, key, &op); err != nil {
		return fmt.Errorf("read operation %s: %w", key, err)
	}
	var pools []v1beta1.AgentPoolProfile
	if op.Spec.Desired != nil {
		for _, pool := range op.Spec.Desired.AgentPools {
			pools = append(pools, pool.AgentPoolProfile)
		}
	}
	return refusal("ManagedCluster", cluster.Name, policy.ValidateCluster(policy.ClusterInput{
		New: &cluster.Spec, Pools: pools, Catalogue: r.Catalogue, Locations: locations, Now: r.Now(),
	}))
}

// ValidateUpdate refuses changes that a PUT through ARM would be refused for.
func (r *clusterRules) ValidateUpdate(ctx context.Context, old, cluster *v1beta1.ManagedCluster) (admission.Warnings, error) {
	if !cluster.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	if old.Spec.ID != "" && cluster.Spec.ID != old.Spec.ID {
		return nil, apierrors.NewBadRequest("spec.id names what was made for the cluster and cannot change")
	}
	input := policy.ClusterInput{Old: &old.Spec, New: &cluster.Spec, Running: r.running(cluster), Catalogue: r.Catalogue, Now: r.Now()}
	if old.Spec.KubernetesVersion != cluster.Spec.KubernetesVersion {
		pools, err := r.poolVersions(ctx, cluster)
		if err != nil {
			return nil, err
		}
		input.PoolVersions = pools
	}
	found := append(r.power(old, cluster), policy.ValidateCluster(input)...)
	if len(found) == 0 && old.Spec.PowerState.Wanted() != cluster.Spec.PowerState.Wanted() {
		var err error
		if found, err = r.gateStop(ctx, old, cluster); err != nil {
			return nil, err
		}
	}
	err := refusal("ManagedCluster", cluster.Name, found)
	if err != nil || old.Spec.KubernetesVersion == cluster.Spec.KubernetesVersion {
		return nil, err
	}
	if policy.PowerOf(old, r.Now()).Phase.ComesBackByPut() {
		return nil, nil // nothing runs that could be asked
	}
	return nil, r.gateCluster(ctx, cluster, input.Running)
}

// power holds a change of a cluster's spec to what its power phase allows. The
// phase is that from before the change.
func (r *clusterRules) power(old, cluster *v1beta1.ManagedCluster) []policy.Violation {
	in := policy.PowerOf(old, r.Now())
	var found []policy.Violation
	if was, is := old.Spec.PowerState.Wanted(), cluster.Spec.PowerState.Wanted(); was != is {
		action := policy.ActionStart
		if is == v1beta1.PowerStopped {
			action = policy.ActionStop
		}
		found = policy.ValidatePower(action, in)
	}
	if in.Phase.ComesBackByPut() && cluster.Spec.PowerState.Wanted() == v1beta1.PowerRunning {
		return found // it comes back with the change (J5)
	}
	rest := cluster.Spec.DeepCopy()
	rest.PowerState = old.Spec.PowerState
	if !equality.Semantic.DeepEqual(old.Spec, *rest) {
		found = append(found, policy.ValidatePower(policy.ActionChange, in)...)
	}
	return found
}

// ValidateDelete refuses to delete a cluster that is locked, or that has a pool that is.
func (r *clusterRules) ValidateDelete(ctx context.Context, cluster *v1beta1.ManagedCluster) (admission.Warnings, error) {
	group, err := r.group(ctx, cluster.Namespace, cluster.Spec.ResourceGroup)
	if err != nil {
		return nil, err
	}
	if goes, err := r.goesAnyway(ctx, cluster, group); err != nil || goes {
		return nil, err
	}
	return nil, r.refuseLocked(ctx, cluster, "managedclusters", operation.ClusterID(cluster))
}
