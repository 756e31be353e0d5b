package containerservice

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
)

func (p provider) putCluster(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := arm.RefuseDeleting(group); err != nil {
		return nil, err
	}
	var body clusterBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	current, err := p.find(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := r.CheckPreconditions(current.etag()); err != nil {
		return nil, err
	}
	if current == nil {
		return p.createCluster(ctx, r, group, &body)
	}
	return p.updateCluster(ctx, r, current, &body)
}

func (p provider) createCluster(ctx context.Context, r *arm.Request, group *v1beta1.ResourceGroup, body *clusterBody) (*arm.Response, error) {
	location, err := p.CheckLocation(ctx, body.Location, clusterType)
	if err != nil {
		return nil, err
	}
	spec := &v1beta1.ManagedClusterSpec{ResourceGroup: group.Spec.Name, Name: r.Parameter("cluster"), Location: location, ID: operation.NewClusterID()}
	if err := applyCluster(body, spec); err != nil {
		return nil, err
	}
	if spec.Identity == nil {
		spec.Identity = &v1beta1.Identity{Type: "SystemAssigned"}
	}
	if spec.KubernetesVersion == "" {
		spec.KubernetesVersion = p.Catalogue.DefaultAt(p.Now()).Version
	}
	policy.DefaultCluster(spec)
	if len(body.Properties.IdentityProfile) > 0 {
		return nil, arm.InvalidParameter("identityProfile", "The value of parameter identityProfile is invalid: Berth makes the kubelets' identity itself. Leave it out.")
	}
	for i := range body.Properties.AgentPoolProfiles {
		sent := &body.Properties.AgentPoolProfiles[i]
		profile := v1beta1.AgentPoolProfile{Name: sent.Name}
		if err := applyPool(&sent.poolProperties, &profile, ""); err != nil {
			return nil, err
		}
		if err := p.fromSnapshot(ctx, r, sent.CreationData, &profile); err != nil {
			return nil, err
		}
		policy.DefaultPool(&profile, spec.NetworkProfile, i == 0)
		spec.AgentPoolProfiles = append(spec.AgentPoolProfiles, profile)
	}
	if violations := policy.ValidateCluster(policy.ClusterInput{New: spec, Pools: spec.AgentPoolProfiles, Catalogue: p.Catalogue, Now: p.Now()}); len(violations) > 0 {
		return nil, arm.Refusal(violations)
	}
	versions := policy.Versions{Catalogue: p.Catalogue, Plan: spec.SupportPlan, Now: p.Now()}
	if err := p.refusePreview(ctx, r, versions, newVersions(versions, spec)); err != nil {
		return nil, err
	}
	if err := p.refuseTakenGroup(ctx, r, spec); err != nil {
		return nil, err
	}
	if err := p.refuseQuota(ctx, r, spec, spec.AgentPoolProfiles); err != nil {
		return nil, err
	}
	return p.writeCluster(ctx, r, clusterPut(r, spec, poolSpecs(spec, spec.AgentPoolProfiles), v1beta1.StateCreating))
}

// refuseTakenGroup refuses a node resource group that is there already, or that
// another cluster of the subscription has (AKS: not an existing group).
func (p provider) refuseTakenGroup(ctx context.Context, r *arm.Request, spec *v1beta1.ManagedClusterSpec) error {
	existing, err := p.FindGroup(ctx, r, spec.NodeResourceGroup)
	if err != nil {
		return err
	}
	var clusters v1beta1.ManagedClusterList
	if err := p.APIReader.List(ctx, &clusters, client.InNamespace(r.Namespace())); err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	taken := existing != nil || slices.ContainsFunc(clusters.Items, func(other v1beta1.ManagedCluster) bool {
		return strings.EqualFold(other.Spec.NodeResourceGroup, spec.NodeResourceGroup)
	})
	if !taken {
		return nil
	}
	return arm.InvalidParameter("nodeResourceGroup", "The value of parameter nodeResourceGroup is invalid: the resource group '%s' exists already. Name one that does not, or leave it out.", spec.NodeResourceGroup)
}

func (p provider) updateCluster(ctx context.Context, r *arm.Request, current *view, body *clusterBody) (*arm.Response, error) {
	old := current.cluster.Spec
	if err := current.refusePut(p.Now()); err != nil {
		return nil, err
	}
	if body.Location != "" && !policy.SameLocation(body.Location, old.Location) {
		return nil, arm.Errorf(http.StatusConflict, "InvalidResourceLocation",
			"The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'.", old.Name, old.Location, old.ResourceGroup, body.Location)
	}
	if err := refuseOtherIdentity(r, body, &old); err != nil {
		return nil, err
	}
	spec := old.DeepCopy()
	if err := applyCluster(body, spec); err != nil {
		return nil, err
	}
	policy.DefaultCluster(spec)
	profiles, err := current.changedPools(spec, body.Properties.AgentPoolProfiles)
	if err != nil {
		return nil, err
	}
	change := p.versionChange(current, spec, profiles)
	violations := policy.ValidateCluster(policy.ClusterInput{
		Old: &old, New: spec, Running: change.running, PoolVersions: change.pools, Catalogue: p.Catalogue, Now: p.Now(),
	})
	violations = append(violations, current.validatePools(profiles, change)...)
	if len(violations) > 0 {
		return nil, arm.Refusal(violations)
	}
	if err := p.refusePreview(ctx, r, change.Versions, change.moves()); err != nil {
		return nil, err
	}
	if err := p.refuseBlocked(ctx, current.cluster, spec, change); err != nil {
		return nil, err
	}
	if err := p.refuseQuota(ctx, r, spec, profiles); err != nil {
		return nil, err
	}
	written := profiles
	if policy.ReimagesNodes(old.AutoUpgradeProfile, spec.AutoUpgradeProfile) {
		// The operation lasts until every pool's nodes are reimaged.
		written = slices.Concat(profiles, current.unnamed(profiles))
	}
	asked := clusterPut(r, spec, poolSpecs(spec, written), change.state())
	if current.comesBack(p.Now()) {
		asked = current.reallocation(r, spec, profiles)
	}
	return p.writeCluster(ctx, r, asked)
}

// changedPools merges the pools of a body into those that exist.
func (v *view) changedPools(spec *v1beta1.ManagedClusterSpec, sent []poolProfile) ([]v1beta1.AgentPoolProfile, error) {
	profiles := make([]v1beta1.AgentPoolProfile, 0, len(sent))
	for i := range sent {
		if slices.ContainsFunc(profiles, func(earlier v1beta1.AgentPoolProfile) bool { return earlier.Name == sent[i].Name }) {
			return nil, arm.InvalidParameter("agentPoolProfile.name", "The value of parameter agentPoolProfile.name is invalid: '%s' is there twice.", sent[i].Name)
		}
		pool := v.pool(sent[i].Name)
		if op := v.held[v.cluster.Annotations[v1beta1.AnnotationOperation]]; pool == nil && op != nil {
			// Its pools may be on their way.
			return nil, &operation.BusyError{Target: v.cluster.Name, Operation: op}
		}
		if pool == nil {
			return nil, arm.Errorf(http.StatusBadRequest, "BadRequest",
				"A new agent pool was introduced. Adding agent pools to an existing cluster is not allowed through managed cluster operations: create '%s' as an agent pool of its own.", sent[i].Name)
		}
		profile := *pool.Spec.AgentPoolProfile.DeepCopy()
		if err := ignorePoolPower(&sent[i], pool); err != nil {
			return nil, err
		}
		if err := applyPool(&sent[i].poolProperties, &profile, v.poolVersion(pool)); err != nil {
			return nil, err
		}
		policy.DefaultPool(&profile, spec.NetworkProfile, false)
		profiles = append(profiles, profile)
	}
	return profiles, nil
}

// validatePools checks each pool of a list beside the others.
func (v *view) validatePools(profiles []v1beta1.AgentPoolProfile, change versionChange) []policy.Violation {
	var found []policy.Violation
	for i := range profiles {
		pool := v.pool(profiles[i].Name)
		found = append(found, policy.ValidatePool(policy.PoolInput{
			Old: &pool.Spec.AgentPoolProfile, New: &profiles[i], Running: v.poolRunning(pool),
			Others: slices.Concat(profiles[:i], profiles[i+1:], v.unnamed(profiles)), Around: change.around(v),
		})...)
	}
	return found
}

// unnamed are the pools that a list leaves out.
func (v *view) unnamed(named []v1beta1.AgentPoolProfile) []v1beta1.AgentPoolProfile {
	return slices.DeleteFunc(v.others(""), func(profile v1beta1.AgentPoolProfile) bool {
		return slices.ContainsFunc(named, func(one v1beta1.AgentPoolProfile) bool { return one.Name == profile.Name })
	})
}

func (v *view) refuseDeleting() error {
	if v.cluster.DeletionTimestamp.IsZero() {
		return nil
	}
	return arm.PendingOperation(v.cluster.Spec.Name, string(v1beta1.StateDeleting))
}

// refuseChange refuses to change a cluster that is being deleted or does not run.
func (v *view) refuseChange(now time.Time) error {
	if err := v.refuseDeleting(); err != nil {
		return err
	}
	return v.refusePower(policy.ActionChange, now)
}

// refusePut is refuseChange for a PUT, which an archived cluster takes (J5).
func (v *view) refusePut(now time.Time) error {
	if err := v.refuseDeleting(); err != nil {
		return err
	}
	return v.refusePower(policy.ActionPut, now)
}

// comesBack says whether a PUT starts the cluster.
func (v *view) comesBack(now time.Time) bool {
	return policy.PowerOf(v.cluster, now).Phase.ComesBackByPut()
}

// writeCluster begins the operation and answers with the cluster as it is then.
func (p provider) writeCluster(ctx context.Context, r *arm.Request, asked v1beta1.OperationSpec) (*arm.Response, error) {
	op, err := p.Begin(ctx, r, asked)
	if err != nil {
		return nil, err
	}
	written, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if asked.State == v1beta1.StateCreating {
		status = http.StatusCreated
	}
	return p.Accepted(operationsBase(r, written.cluster.Spec.Location), op, status, renderCluster(r, written)), nil
}

// clusterPut is the operation that makes a cluster and the named pools of it so.
func clusterPut(r *arm.Request, spec *v1beta1.ManagedClusterSpec, pools []v1beta1.AgentPoolSpec, state v1beta1.ProvisioningState) v1beta1.OperationSpec {
	return v1beta1.OperationSpec{
		Type: v1beta1.OperationPut, State: state,
		Target: v1beta1.OperationTarget{
			Kind: v1beta1.TargetManagedCluster, Name: v1beta1.ObjectName(spec.ResourceGroup, spec.Name), ResourceID: clusterID(r, spec),
		},
		Desired: &v1beta1.DesiredState{Cluster: spec, AgentPools: pools},
	}
}

// patchCluster changes tags and nothing else.
func (p provider) patchCluster(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	current, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	var body struct {
		Tags map[string]string `json:"tags"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if err := r.CheckPreconditions(current.etag()); err != nil {
		return nil, err
	}
	if err := current.refuseChange(p.Now()); err != nil {
		return nil, err
	}
	if err := arm.CheckTags(body.Tags); err != nil {
		return nil, err
	}
	spec := current.cluster.Spec.DeepCopy()
	if body.Tags != nil {
		spec.Tags = body.Tags
	}
	return p.writeCluster(ctx, r, clusterPut(r, spec, nil, v1beta1.StateUpdating))
}

// refuseOtherIdentity refuses a kubelet identity that is not the one Berth shows.
func refuseOtherIdentity(r *arm.Request, body *clusterBody, spec *v1beta1.ManagedClusterSpec) error {
	shown := kubeletIdentity(r, spec)
	for name, sent := range body.Properties.IdentityProfile {
		if mine := shown[name]; !strings.EqualFold(mine.ClientID, sent.ClientID) || !strings.EqualFold(mine.ObjectID, sent.ObjectID) || !strings.EqualFold(mine.ResourceID, sent.ResourceID) {
			return arm.InvalidParameter("identityProfile."+name, "The value of parameter identityProfile.%s is invalid: Berth makes the kubelets' identity itself, and it cannot be changed.", name)
		}
	}
	return nil
}

func poolSpecs(cluster *v1beta1.ManagedClusterSpec, profiles []v1beta1.AgentPoolProfile) []v1beta1.AgentPoolSpec {
	specs := make([]v1beta1.AgentPoolSpec, 0, len(profiles))
	for _, profile := range profiles {
		specs = append(specs, v1beta1.AgentPoolSpec{ResourceGroup: cluster.ResourceGroup, ClusterName: cluster.Name, AgentPoolProfile: profile})
	}
	return specs
}
