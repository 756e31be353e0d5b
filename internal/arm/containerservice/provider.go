package containerservice

import (
	"context"
	"net/http"
	"time"

	"berth.dev/berth/internal/arm"
)

// namespace is the provider's name in every path.
const namespace = "Microsoft.ContainerService"

// The types of resources, as their bodies name them.
const (
	clusterType     = namespace + "/managedClusters"
	poolType        = clusterType + "/agentPools"
	machineType     = poolType + "/machines"
	snapshotType    = namespace + "/snapshots"
	deletedType     = namespace + "/deletedManagedClusters"
	maintenanceType = clusterType + "/maintenanceConfigurations"
)

// versions are AKS's stable api-versions from 2020-11-01 on. One body, a superset
// of all of theirs, is served to every one.
var versions = []string{
	"2020-11-01", "2020-12-01", "2021-02-01", "2021-03-01", "2021-05-01", "2021-07-01", "2021-08-01", "2021-09-01", "2021-10-01",
	"2022-01-01", "2022-02-01", "2022-03-01", "2022-04-01", "2022-06-01", "2022-07-01", "2022-09-01", "2022-11-01",
	"2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01", "2023-06-01", "2023-07-01", "2023-08-01", "2023-09-01", "2023-10-01", "2023-11-01",
	"2024-01-01", "2024-02-01", "2024-05-01", "2024-07-01", "2024-08-01", "2024-09-01", "2024-10-01",
	"2025-01-01", "2025-02-01", "2025-03-01", "2025-04-01", "2025-05-01", "2025-07-01", "2025-08-01", "2025-09-01", "2025-10-01",
	"2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01",
}

const (
	subscriptionPath = "/subscriptions/{subscription}"
	locationPath     = subscriptionPath + "/providers/" + namespace + "/locations/{location}"
	clustersPath     = subscriptionPath + "/resourceGroups/{group}/providers/" + namespace + "/managedClusters"
	clusterPath      = clustersPath + "/{cluster}"
	poolPath         = clusterPath + "/agentPools/{pool}"
	snapshotsPath    = subscriptionPath + "/resourceGroups/{group}/providers/" + namespace + "/snapshots"
	snapshotPath     = snapshotsPath + "/{snapshot}"
	maintenancePath  = clusterPath + "/maintenanceConfigurations/{maintenance}"
)

// AKS's limits of calls (quotas-skus-regions: resource provider throttling).
var (
	listBySubscription = &arm.Limit{Handler: "ListManagedClustersHandler.GET", Burst: 500, Every: time.Second, Scope: arm.PerSubscription}
	listByGroup        = &arm.Limit{Handler: "ListManagedClustersByResourceGroupHandler.GET", Burst: 60, Every: time.Second, Scope: arm.PerResourceGroup}
	putCluster         = &arm.Limit{Handler: "PutManagedClusterHandler.PUT", Burst: 20, Every: time.Minute, Scope: arm.PerPath}
	putPool            = &arm.Limit{Handler: "PutAgentPoolHandler.PUT", Burst: 20, Every: time.Minute, Scope: arm.PerPath}
	getCluster         = &arm.Limit{Handler: "GetManagedClusterHandler.GET", Burst: 60, Every: time.Second, Scope: arm.PerPath}
	getOperation       = &arm.Limit{Handler: "GetOperationStatusHandler.GET", Burst: 200, Every: time.Second / 2, Scope: arm.PerSubscription}
	anyOther           = &arm.Limit{Handler: "ContainerServiceHandler", Burst: 60, Every: time.Second, Scope: arm.PerPath}
)

type provider struct{ *arm.Server }

// New is the provider Microsoft.ContainerService.
func New(s *arm.Server) arm.Provider {
	p := provider{s}
	routes := append(p.clusterRoutes(), p.poolRoutes()...)
	routes = append(routes, p.locationRoutes()...)
	routes = append(routes, p.snapshotRoutes()...)
	routes = append(routes, p.maintenanceRoutes()...)
	routes = append(routes, p.deletedRoutes()...)
	routes = append(routes, p.vulnerabilityRoutes()...)
	routes = append(routes, p.noticeRoutes()...)
	routes = append(routes, p.releaseRoutes()...)
	routes = append(routes, p.rolloutRoutes()...)
	return arm.Provider{
		Namespace: namespace, Versions: versions, DefaultLimit: anyOther,
		Types: []arm.ResourceType{
			{Name: "managedClusters", Locations: true}, {Name: "managedClusters/agentPools", Locations: true}, {Name: "snapshots", Locations: true},
			{Name: "deletedManagedClusters", Locations: true},
			{Name: "managedClusters/maintenanceConfigurations", Locations: true},
			{Name: "locations"}, {Name: "locations/usages", Locations: true}, {Name: "locations/kubernetesVersions", Locations: true}, {Name: "locations/operations", Locations: true},
			{Name: "locations/operationresults", Locations: true}, {Name: "locations/orchestrators", Versions: orchestratorVersions, Locations: true},
			{Name: "operations"},
		},
		Routes: append(routes, laterRoutes()...),
	}
}

func (p provider) clusterRoutes() []arm.Route {
	const kind = "managedClusters"
	get, put, post := http.MethodGet, http.MethodPut, http.MethodPost
	return []arm.Route{
		{Method: get, Path: subscriptionPath + "/providers/" + namespace + "/managedClusters", Type: kind, Limit: listBySubscription, Handle: p.listClusters},
		{Method: get, Path: clustersPath, Type: kind, Limit: listByGroup, Handle: p.listClusters},
		{Method: get, Path: clusterPath, Type: kind, Limit: getCluster, Handle: p.getCluster},
		{Method: put, Path: clusterPath, Type: kind, Limit: putCluster, Handle: p.putCluster},
		{Method: http.MethodPatch, Path: clusterPath, Type: kind, Limit: putCluster, Handle: p.patchCluster},
		{Method: http.MethodDelete, Path: clusterPath, Type: kind, Handle: p.deleteCluster},
		{Method: post, Path: clusterPath + "/listClusterAdminCredential", Type: kind, Reads: true, Handle: p.adminCredential},
		{Method: post, Path: clusterPath + "/listClusterUserCredential", Type: kind, Reads: true, Handle: p.userCredential},
		{Method: post, Path: clusterPath + "/start", Type: kind, Handle: p.startCluster},
		{Method: post, Path: clusterPath + "/stop", Type: kind, Handle: p.stopCluster},
		{Method: post, Path: clusterPath + "/rotateClusterCertificates", Type: kind, Handle: p.rotateCertificates},
		{Method: post, Path: clusterPath + "/rotateServiceAccountSigningKeys", Type: kind, Handle: p.rotateSigningKeys},
		{Method: get, Path: clusterPath + "/accessProfiles/{role}", Type: kind, Handle: p.accessProfile},
		{Method: post, Path: clusterPath + "/accessProfiles/{role}/listCredential", Type: kind, Reads: true, Handle: p.accessProfile},
		{Method: post, Path: clusterPath + "/abort", Type: kind, Handle: p.abortCluster},
		{Method: get, Path: clusterPath + "/upgradeProfiles/default", Type: kind, Handle: p.clusterUpgrades},
		{Method: get, Path: clusterPath + "/supportability", Type: kind, Handle: p.supportability},
		{Method: get, Path: clusterPath + "/outboundNetworkDependenciesEndpoints", Type: kind, Handle: p.outboundEndpoints},
		{Method: get, Path: clusterPath + "/availableAgentPoolVersions", Type: kind, Handle: p.availablePoolVersions},
	}
}

func (p provider) poolRoutes() []arm.Route {
	const kind = "managedClusters/agentPools"
	get := http.MethodGet
	return []arm.Route{
		{Method: get, Path: clusterPath + "/agentPools", Type: kind, Handle: p.listPools},
		{Method: get, Path: poolPath, Type: kind, Limit: getCluster, Handle: p.getPool},
		{Method: http.MethodPut, Path: poolPath, Type: kind, Limit: putPool, Handle: p.putPool},
		{Method: http.MethodDelete, Path: poolPath, Type: kind, Handle: p.deletePool},
		{Method: http.MethodPost, Path: poolPath + "/upgradeNodeImageVersion", Type: kind, Handle: p.upgradeNodeImage},
		{Method: http.MethodPost, Path: poolPath + "/abort", Type: kind, Handle: p.abortPool},
		{Method: get, Path: poolPath + "/upgradeProfiles/default", Type: kind, Handle: p.poolUpgrades},
		{Method: get, Path: poolPath + "/machines", Type: kind, Handle: p.listMachines},
		{Method: get, Path: poolPath + "/machines/{machine}", Type: kind, Handle: p.getMachine},
	}
}

func (p provider) locationRoutes() []arm.Route {
	polled := append([]string{arm.OperationVersion}, versions...)
	get := http.MethodGet
	return []arm.Route{
		{Method: get, Path: "/providers/" + namespace + "/operations", Type: "operations", Handle: listOperations},
		{Method: get, Path: locationPath + "/usages", Type: "locations/usages", Handle: p.usages},
		{Method: get, Path: locationPath + "/kubernetesVersions", Type: "locations/kubernetesVersions", Handle: p.kubernetesVersions},
		{Method: get, Path: locationPath + "/orchestrators", Type: "locations/orchestrators", Versions: orchestratorVersions, Handle: p.orchestrators},
		{Method: get, Path: locationPath + "/operations/{operation}", Type: "locations/operations", Versions: polled, Limit: getOperation, Handle: p.OperationStatus},
		{Method: get, Path: locationPath + "/operationresults/{operation}", Type: "locations/operationresults", Versions: polled, Limit: getOperation, Handle: p.OperationResult},
	}
}

// later lists what AKS has and this Berth answers only by saying that it does not.
var later = []struct{ method, path, what string }{
	{http.MethodPost, clusterPath + "/resetServicePrincipalProfile", "resetting the service principal"},
	{http.MethodPost, clusterPath + "/resetAADProfile", "resetting the Entra ID profile"},
	{http.MethodPost, clusterPath + "/runCommand", "running a command in a cluster"},
	{http.MethodGet, clusterPath + "/commandResults/{command}", "running a command in a cluster"},
	{http.MethodPost, clusterPath + "/listClusterMonitoringUserCredential", "the monitoring user's credential"},
	{http.MethodPost, clusterPath + "/agentPools/{pool}/deleteMachines", "deleting single machines"},
}

func laterRoutes() []arm.Route {
	routes := make([]arm.Route, 0, len(later))
	for _, one := range later {
		routes = append(routes, arm.Route{Method: one.method, Path: one.path, Type: "managedClusters", Handle: func(context.Context, *arm.Request) (*arm.Response, error) {
			return nil, arm.NotImplemented(one.what)
		}})
	}
	return routes
}
