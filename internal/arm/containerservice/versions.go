package containerservice

import (
	"context"

	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// orchestratorVersions is all that `az aks get-versions` ever sent.
var orchestratorVersions = []string{"2019-04-01"}

// kubernetesVersions lists what new clusters can have, by minor version.
func (p provider) kubernetesVersions(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	if _, err := p.CheckLocation(ctx, r.Parameter("location"), clusterType); err != nil {
		return nil, err
	}
	values := []map[string]any{}
	byMinor := map[string]map[string]any{}
	for _, one := range p.offered() {
		minor, known := byMinor[one.Minor()]
		if !known {
			minor = map[string]any{
				"version": one.Minor(), "isPreview": one.State == release.Preview, "patchVersions": map[string]any{},
				"capabilities": map[string]any{"supportPlan": []string{"KubernetesOfficial"}},
			}
			byMinor[one.Minor()] = minor
			values = append(values, minor)
		}
		if one.Default {
			minor["isDefault"] = true
		}
		minor["patchVersions"].(map[string]any)[one.Version] = map[string]any{"upgrades": upgradesFrom(one.Version)}
	}
	return arm.OK(map[string]any{"values": values})
}

// offered are the releases that a new cluster can have, newest first.
func (p provider) offered() []release.Release {
	var offered []release.Release
	for _, one := range p.Catalogue.Sorted() {
		if one.State == release.Supported || one.State == release.Preview {
			offered = append(offered, one)
		}
	}
	return offered
}

// upgradesFrom lists the versions that a control plane can move to: none until
// Berth upgrades clusters.
func upgradesFrom(string) []string { return []string{} }

// orchestrators is the list that `az aks get-versions` reads.
func (p provider) orchestrators(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	location, err := p.CheckLocation(ctx, r.Parameter("location"), clusterType)
	if err != nil {
		return nil, err
	}
	listed := []any{}
	for _, one := range p.offered() {
		entry := map[string]any{"orchestratorType": "Kubernetes", "orchestratorVersion": one.Version}
		if one.Default {
			entry["default"] = true
		}
		if one.State == release.Preview {
			entry["isPreview"] = true
		}
		upgrades := []any{}
		for _, version := range upgradesFrom(one.Version) {
			upgrades = append(upgrades, map[string]any{"orchestratorType": "Kubernetes", "orchestratorVersion": version})
		}
		entry["upgrades"] = upgrades
		listed = append(listed, entry)
	}
	return arm.OK(map[string]any{
		"id": operationsBase(r, location) + "/orchestrators", "name": "default", "type": namespace + "/locations/orchestrators",
		"properties": map[string]any{"orchestrators": listed},
	})
}

func (p provider) clusterUpgrades(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	profile := func(name, osType, version string) map[string]any {
		upgrades := []any{}
		for _, to := range upgradesFrom(version) {
			upgrades = append(upgrades, map[string]any{"kubernetesVersion": to})
		}
		out := map[string]any{"kubernetesVersion": version, "osType": osType, "upgrades": upgrades}
		if name != "" {
			out["name"] = name
		}
		return out
	}
	pools := []any{}
	for i := range found.pools {
		spec := &found.pools[i].Spec
		pools = append(pools, profile(spec.Name, spec.OSType, found.poolVersion(&found.pools[i])))
	}
	return arm.OK(map[string]any{
		"id": clusterID(r, &found.cluster.Spec) + "/upgradeprofiles/default", "name": "default", "type": clusterType + "/upgradeprofiles",
		"properties": map[string]any{"controlPlaneProfile": profile("", "Linux", found.running()), "agentPoolProfiles": pools},
	})
}

func (p provider) poolUpgrades(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, pool, err := p.requirePool(ctx, r)
	if err != nil {
		return nil, err
	}
	upgrades := []any{}
	for _, to := range upgradesFrom(found.poolVersion(pool)) {
		upgrades = append(upgrades, map[string]any{"kubernetesVersion": to})
	}
	return arm.OK(map[string]any{
		"id": renderPool(r, found, pool).ID + "/upgradeProfiles/default", "name": "default", "type": poolType + "/upgradeProfiles",
		"properties": map[string]any{
			"kubernetesVersion": found.poolVersion(pool), "osType": pool.Spec.OSType, "upgrades": upgrades, "latestNodeImageVersion": p.Catalogue.NodeImageVersion,
		},
	})
}

// availablePoolVersions lists what a new pool of the cluster can have.
func (p provider) availablePoolVersions(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	listed := []any{}
	for _, one := range p.offered() {
		if !policy.SkewAllowed(found.running(), one.Version) {
			continue
		}
		entry := map[string]any{"kubernetesVersion": one.Version}
		if one.Version == found.running() {
			entry["default"] = true
		}
		if one.State == release.Preview {
			entry["isPreview"] = true
		}
		listed = append(listed, entry)
	}
	return arm.OK(map[string]any{
		"id": clusterID(r, &found.cluster.Spec) + "/availableAgentPoolVersions/default", "name": "default", "type": clusterType + "/availableAgentpoolVersions",
		"properties": map[string]any{"agentPoolVersions": listed},
	})
}
