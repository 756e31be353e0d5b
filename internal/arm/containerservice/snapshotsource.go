package containerservice

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// poolID and snapshotID read the parts of resource ids within one subscription.
var (
	poolID     = regexp.MustCompile(`(?i)^/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.ContainerService/managedClusters/([^/]+)/agentPools/([^/]+)/?$`)
	snapshotID = regexp.MustCompile(`(?i)^/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.ContainerService/snapshots/([^/]+)/?$`)
)

const sourceTarget = "properties.creationData.sourceResourceId"

// sourcePool is the pool that a snapshot is taken of. It must run something, in a
// version that is in full support (AKS: no snapshots in platform support).
func (p provider) sourcePool(ctx context.Context, r *arm.Request, id string) (*view, *v1beta1.AgentPool, error) {
	parts := poolID.FindStringSubmatch(id)
	if parts == nil || !strings.EqualFold(parts[1], r.Subscription.Name) {
		return nil, nil, arm.InvalidParameter(sourceTarget, "The value of parameter %s is invalid: '%s' is not the id of an agent pool in this subscription.", sourceTarget, id)
	}
	found, err := p.findCluster(ctx, r, parts[2], parts[3])
	if err != nil {
		return nil, nil, err
	}
	var pool *v1beta1.AgentPool
	if found != nil {
		pool = found.pool(strings.ToLower(parts[4]))
	}
	if pool == nil {
		return nil, nil, arm.InvalidParameter(sourceTarget, "The value of parameter %s is invalid: there is no agent pool '%s'.", sourceTarget, id)
	}
	if err := found.refuseConfigure(p.Now()); err != nil {
		return nil, nil, err
	}
	if pool.Status.CurrentOrchestratorVersion == "" || pool.Status.NodeImageVersion == "" {
		return nil, nil, arm.Errorf(http.StatusConflict, "OperationNotAllowed", "Agent pool '%s' has no node yet: take the snapshot when it is provisioned.", pool.Spec.Name)
	}
	versions := policy.Versions{Catalogue: p.Catalogue, Plan: found.cluster.Spec.SupportPlan, Now: p.Now()}
	if !versions.InSupport(pool.Status.CurrentOrchestratorVersion) {
		return nil, nil, arm.Errorf(http.StatusBadRequest, "OperationNotAllowed", "Agent pool '%s' is on version %s, which is not in full support: upgrade it first.", pool.Spec.Name, pool.Status.CurrentOrchestratorVersion)
	}
	return found, pool, nil
}

// fromSnapshot gives a new pool what a snapshot holds, where the customer did not
// ask for something else.
func (p provider) fromSnapshot(ctx context.Context, r *arm.Request, from *creationData, profile *v1beta1.AgentPoolProfile) error {
	if from == nil || from.SourceResourceID == "" {
		return nil
	}
	parts := snapshotID.FindStringSubmatch(from.SourceResourceID)
	if parts == nil || !strings.EqualFold(parts[1], r.Subscription.Name) {
		return arm.InvalidParameter(sourceTarget, "The value of parameter %s is invalid: '%s' is not the id of a snapshot in this subscription.", sourceTarget, from.SourceResourceID)
	}
	snapshot, err := p.findSnapshot(ctx, r, parts[2], parts[3])
	if err != nil {
		return err
	}
	if snapshot == nil {
		return arm.InvalidParameter(sourceTarget, "The value of parameter %s is invalid: there is no snapshot '%s'.", sourceTarget, from.SourceResourceID)
	}
	if asked := profile.OrchestratorVersion; asked != "" && asked != snapshot.Spec.KubernetesVersion && asked != release.Minor(snapshot.Spec.KubernetesVersion) {
		return arm.InvalidParameter("agentPoolProfile.orchestratorVersion", "The value of parameter agentPoolProfile.orchestratorVersion is invalid: the snapshot has %s, not %s.", snapshot.Spec.KubernetesVersion, asked)
	}
	if _, ok := p.Catalogue.MachineImage(snapshot.Spec.KubernetesVersion, snapshot.Spec.NodeImageVersion); !ok && snapshot.Spec.NodeImageVersion != p.Catalogue.NodeImageVersion {
		return arm.InvalidParameter(sourceTarget, "The value of parameter %s is invalid: node image %s of the snapshot is not kept any more. Take a new snapshot.", sourceTarget, snapshot.Spec.NodeImageVersion)
	}
	profile.CreationData = &v1beta1.CreationData{SourceResourceID: from.SourceResourceID}
	profile.OrchestratorVersion, profile.NodeImageVersion = snapshot.Spec.KubernetesVersion, snapshot.Spec.NodeImageVersion
	if profile.VMSize == "" {
		profile.VMSize = snapshot.Spec.VMSize
	}
	return nil
}

// refuseOtherSource refuses to make an existing pool of another snapshot.
func refuseOtherSource(sent *creationData, old *v1beta1.AgentPoolProfile) error {
	if sent == nil || sent.SourceResourceID == "" || old.CreationData != nil && strings.EqualFold(sent.SourceResourceID, old.CreationData.SourceResourceID) {
		return nil
	}
	return arm.Errorf(http.StatusBadRequest, policy.CodePropertyChange,
		"Changing property '%s' is not allowed: create another agent pool from the snapshot.", sourceTarget)
}
