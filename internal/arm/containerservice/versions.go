package containerservice

import (
	"context"

	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// orchestratorVersions is all that `az aks get-versions` ever sent.
var orchestratorVersions = []string{"2019-04-01"}

// versions decides for clusters without a plan of their own.
func (p provider) versions() policy.Versions {
	return policy.Versions{Catalogue: p.Catalogue, Now: p.Now()}
}

// minorBody is a minor version in kubernetesVersions. The dates and the state are
// Berth's own; clients that do not know them leave them alone.
type minorBody struct {
	Version       string               `json:"version"`
	IsDefault     bool                 `json:"isDefault,omitempty"`
	IsPreview     bool                 `json:"isPreview"`
	Capabilities  capabilities         `json:"capabilities"`
	PatchVersions map[string]patchBody `json:"patchVersions"`
	State         release.State        `json:"state"`
	release.Life
}

type capabilities struct {
	SupportPlan []string `json:"supportPlan"`
}

type patchBody struct {
	Upgrades []string `json:"upgrades"`
}

// kubernetesVersions lists what new clusters can have, by minor version, with the support
// plans under which they can. What long-term support alone covers is listed too, with the
// upgrades that it allows.
func (p provider) kubernetesVersions(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	if _, err := p.CheckLocation(ctx, r.Parameter("location"), clusterType); err != nil {
		return nil, err
	}
	return arm.OK(map[string]any{"values": minorsOf(p.versions())})
}

// minorsOf lists the versions of all support plans, newest first.
func minorsOf(versions policy.Versions) []*minorBody {
	standard := versions.Catalogue.DefaultAt(versions.Now)
	values := []*minorBody{}
	for _, one := range versions.Catalogue.Sorted() {
		plans := versions.SupportPlans(one)
		if len(plans) == 0 {
			continue
		}
		if len(values) == 0 || values[len(values)-1].Version != one.Minor() {
			state := versions.Catalogue.StateAt(one, release.PlanOfficial, versions.Now)
			values = append(values, &minorBody{
				Version: one.Minor(), IsDefault: one.Minor() == standard.Minor(), IsPreview: state == release.Preview, State: state, Life: one.Life,
				Capabilities: capabilities{SupportPlan: plans}, PatchVersions: map[string]patchBody{},
			})
		}
		under := versions
		under.Plan = plans[0]
		values[len(values)-1].PatchVersions[one.Version] = patchBody{Upgrades: policy.Names(under.Upgrades(one.Version))}
	}
	return values
}

// orchestrators is the list that `az aks get-versions` reads.
func (p provider) orchestrators(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	location, err := p.CheckLocation(ctx, r.Parameter("location"), clusterType)
	if err != nil {
		return nil, err
	}
	versions := p.versions()
	standard := p.Catalogue.DefaultAt(versions.Now)
	listed := []any{}
	for _, one := range versions.Offered() {
		entry := p.orchestrator(one)
		if one.Version == standard.Version {
			entry["default"] = true
		}
		upgrades := []any{}
		for _, to := range versions.Upgrades(one.Version) {
			upgrades = append(upgrades, p.orchestrator(to))
		}
		entry["upgrades"] = upgrades
		listed = append(listed, entry)
	}
	return arm.OK(map[string]any{
		"id": operationsBase(r, location) + "/orchestrators", "name": "default", "type": namespace + "/locations/orchestrators",
		"properties": map[string]any{"orchestrators": listed},
	})
}

func (p provider) orchestrator(one release.Release) map[string]any {
	entry := map[string]any{"orchestratorType": "Kubernetes", "orchestratorVersion": one.Version}
	if p.isPreview(one) {
		entry["isPreview"] = true
	}
	return entry
}

func (p provider) isPreview(one release.Release) bool {
	return p.Catalogue.StateAt(one, release.PlanOfficial, p.Now()) == release.Preview
}

// upgrades are the versions that something can move to, as upgrade profiles list them.
func (p provider) upgrades(releases []release.Release) []any {
	listed := []any{}
	for _, to := range releases {
		entry := map[string]any{"kubernetesVersion": to.Version}
		if p.isPreview(to) {
			entry["isPreview"] = true
		}
		listed = append(listed, entry)
	}
	return listed
}

func (p provider) clusterUpgrades(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	spec := &found.cluster.Spec
	versions := policy.Versions{Catalogue: p.Catalogue, Plan: spec.SupportPlan, Now: p.Now()}
	pools := []any{}
	for i := range found.pools {
		pool := &found.pools[i]
		running := found.poolRunning(pool)
		pools = append(pools, map[string]any{
			"name": pool.Spec.Name, "osType": pool.Spec.OSType, "kubernetesVersion": running,
			"upgrades": p.upgrades(versions.PoolUpgrades(running, found.running())),
		})
	}
	return arm.OK(map[string]any{
		"id": clusterID(r, spec) + "/upgradeprofiles/default", "name": "default", "type": clusterType + "/upgradeprofiles",
		"properties": map[string]any{
			"controlPlaneProfile": map[string]any{
				"osType": "Linux", "kubernetesVersion": found.running(), "upgrades": p.upgrades(versions.Upgrades(found.running())),
			},
			"agentPoolProfiles": pools,
		},
	})
}

func (p provider) poolUpgrades(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, pool, err := p.requirePool(ctx, r)
	if err != nil {
		return nil, err
	}
	versions := policy.Versions{Catalogue: p.Catalogue, Plan: found.cluster.Spec.SupportPlan, Now: p.Now()}
	running := found.poolRunning(pool)
	properties := map[string]any{
		"kubernetesVersion": running, "osType": pool.Spec.OSType, "latestNodeImageVersion": p.Catalogue.NodeImageVersion,
		"upgrades": p.upgrades(versions.PoolUpgrades(running, found.running())),
	}
	used, err := p.recentlyUsed(ctx, found, pool)
	if err != nil {
		return nil, err
	}
	if len(used) > 0 {
		properties["recentlyUsedVersions"] = used
	}
	return arm.OK(map[string]any{
		"id": renderPool(r, found, pool).ID + "/upgradeProfiles/default", "name": "default", "type": poolType + "/upgradeProfiles",
		"properties": properties,
	})
}

// availablePoolVersions lists what a new pool of the cluster can have.
func (p provider) availablePoolVersions(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	versions := policy.Versions{Catalogue: p.Catalogue, Plan: found.cluster.Spec.SupportPlan, Now: p.Now()}
	listed := []any{}
	for _, one := range versions.PoolVersions(found.running()) {
		entry := map[string]any{"kubernetesVersion": one.Version}
		if one.Version == found.running() {
			entry["default"] = true
		}
		if p.isPreview(one) {
			entry["isPreview"] = true
		}
		listed = append(listed, entry)
	}
	return arm.OK(map[string]any{
		"id": clusterID(r, &found.cluster.Spec) + "/availableAgentPoolVersions/default", "name": "default", "type": clusterType + "/availableAgentpoolVersions",
		"properties": map[string]any{"agentPoolVersions": listed},
	})
}
