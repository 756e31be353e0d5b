package compute

import (
	"net/http"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

const (
	namespace    = "Microsoft.Compute"
	scaleSetType = namespace + "/virtualMachineScaleSets"
	instanceType = scaleSetType + "/virtualMachines"
)

// versions are Compute's stable api-versions of scale sets. One body is served to all.
var versions = []string{
	"2015-06-15", "2016-03-30", "2017-03-30", "2017-12-01", "2018-04-01", "2018-06-01", "2018-10-01",
	"2019-03-01", "2019-07-01", "2019-12-01", "2020-06-01", "2020-12-01", "2021-03-01", "2021-04-01", "2021-07-01", "2021-11-01",
	"2022-03-01", "2022-08-01", "2022-11-01", "2023-03-01", "2023-07-01", "2023-09-01", "2024-03-01", "2024-07-01", "2024-11-01", "2025-04-01",
}

const (
	subscriptionPath = "/subscriptions/{subscription}"
	locationPath     = subscriptionPath + "/providers/" + namespace + "/locations/{location}"
	scaleSetsPath    = subscriptionPath + "/resourceGroups/{group}/providers/" + scaleSetType
	scaleSetPath     = scaleSetsPath + "/{scaleSet}"
	instancesPath    = scaleSetPath + "/virtualMachines"
	instancePath     = instancesPath + "/{instance}"
)

// anyRequest limits every route, as AKS's own are where it names no limit: a request to
// act on machines costs as much as any.
var anyRequest = &arm.Limit{Handler: "ComputeHandler", Burst: 60, Every: time.Second, Scope: arm.PerPath}

type provider struct{ *arm.Server }

// New is the provider Microsoft.Compute.
func New(s *arm.Server) arm.Provider {
	p := provider{s}
	routes := append(p.scaleSetRoutes(), p.instanceRoutes()...)
	routes = append(routes, p.extensionRoutes()...)
	return arm.Provider{
		Namespace: namespace, Versions: versions, DefaultLimit: anyRequest,
		Types: []arm.ResourceType{
			{Name: "virtualMachineScaleSets", Locations: true}, {Name: "virtualMachineScaleSets/virtualMachines", Locations: true},
			{Name: "virtualMachineScaleSets/extensions", Locations: true},
			{Name: "locations"}, {Name: "locations/operations", Locations: true}, {Name: "locations/operationresults", Locations: true},
		},
		Routes: append(routes, p.operationRoutes()...),
	}
}

func (p provider) scaleSetRoutes() []arm.Route {
	const kind = "virtualMachineScaleSets"
	get := http.MethodGet
	routes := []arm.Route{
		{Method: get, Path: subscriptionPath + "/providers/" + scaleSetType, Type: kind, Handle: p.listAllScaleSets},
		{Method: get, Path: scaleSetsPath, Type: kind, Handle: p.listScaleSets},
		{Method: get, Path: scaleSetPath, Type: kind, Handle: p.getScaleSet},
		{Method: get, Path: scaleSetPath + "/instanceView", Type: kind, Handle: p.scaleSetView},
		{Method: http.MethodPut, Path: scaleSetPath, Type: kind, Handle: p.writeScaleSet},
		{Method: http.MethodPatch, Path: scaleSetPath, Type: kind, Handle: p.writeScaleSet},
		{Method: http.MethodDelete, Path: scaleSetPath, Type: kind, Handle: p.deleteScaleSet},
	}
	for _, one := range actions {
		routes = append(routes, arm.Route{
			Method: http.MethodPost, Path: scaleSetPath + "/" + one.word, Type: kind,
			Deletes: one.action == v1beta1.InstanceDelete, Handle: p.onScaleSet(one.action),
		})
	}
	return routes
}

func (p provider) instanceRoutes() []arm.Route {
	const kind = "virtualMachineScaleSets/virtualMachines"
	get := http.MethodGet
	routes := []arm.Route{
		{Method: get, Path: instancesPath, Type: kind, Handle: p.listInstances},
		{Method: get, Path: instancePath, Type: kind, Handle: p.getInstance},
		{Method: get, Path: instancePath + "/instanceView", Type: kind, Handle: p.instanceView},
		{Method: http.MethodDelete, Path: instancePath, Type: kind, Handle: p.deleteInstance},
		{Method: http.MethodPost, Path: instancePath + "/runCommand", Type: kind, Handle: p.runCommand},
	}
	for _, one := range actions {
		if one.action != v1beta1.InstanceDelete {
			routes = append(routes, arm.Route{Method: http.MethodPost, Path: instancePath + "/" + one.word, Type: kind, Handle: p.onInstance(one.action)})
		}
	}
	return routes
}

func (p provider) operationRoutes() []arm.Route {
	polled := append([]string{arm.OperationVersion}, versions...)
	return []arm.Route{
		{Method: http.MethodGet, Path: locationPath + "/operations/{operation}", Type: "locations/operations", Versions: polled, Handle: p.OperationStatus},
		{Method: http.MethodGet, Path: locationPath + "/operationresults/{operation}", Type: "locations/operationresults", Versions: polled, Handle: p.operationResult},
	}
}
