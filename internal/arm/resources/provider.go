package resources

import (
	"net/http"

	"berth.dev/berth/internal/arm"
)

// versions are the api-versions of ARM's own types that stable clients send.
var versions = []string{
	"2014-04-01", "2015-01-01", "2015-11-01", "2016-02-01", "2016-06-01", "2016-09-01", "2017-05-10", "2018-02-01", "2018-05-01",
	"2018-06-01", "2019-03-01", "2019-05-01", "2019-05-10", "2019-06-01", "2019-07-01", "2019-08-01", "2019-10-01", "2019-11-01", "2020-01-01",
	"2020-06-01", "2020-08-01", "2020-10-01", "2021-01-01", "2021-04-01", "2021-10-01", "2022-09-01", "2022-12-01",
	"2023-07-01", "2024-03-01", "2024-07-01", "2024-11-01", "2025-03-01", "2025-04-01",
}

const (
	subscriptionPath = "/subscriptions/{subscription}"
	groupPath        = subscriptionPath + "/resourceGroups/{group}"
	providerPath     = subscriptionPath + "/providers/{namespace}"
)

type provider struct{ *arm.Server }

// New is ARM's own provider, Microsoft.Resources.
func New(s *arm.Server) arm.Provider {
	p := provider{s}
	return arm.Provider{
		Namespace: "Microsoft.Resources", Versions: versions, Native: true,
		Types: []arm.ResourceType{
			{Name: "tenants"}, {Name: "subscriptions"}, {Name: "subscriptions/locations"}, {Name: "subscriptions/providers"},
			{Name: "resourceGroups", Locations: true}, {Name: "subscriptions/resourceGroups", Locations: true}, {Name: "resources"},
		},
		Routes: []arm.Route{
			{Method: http.MethodGet, Path: "/tenants", Handle: p.tenants},
			{Method: http.MethodGet, Path: "/subscriptions", Handle: p.subscriptions},
			{Method: http.MethodGet, Path: subscriptionPath, Handle: p.subscription},
			{Method: http.MethodGet, Path: subscriptionPath + "/locations", Handle: p.locations},
			{Method: http.MethodGet, Path: subscriptionPath + "/providers", Handle: p.listProviders},
			{Method: http.MethodGet, Path: providerPath, Handle: p.getProvider},
			{Method: http.MethodPost, Path: providerPath + "/register", Handle: p.register},
			{Method: http.MethodPost, Path: providerPath + "/unregister", Handle: p.unregister},
			{Method: http.MethodGet, Path: subscriptionPath + "/resourceGroups", Handle: p.listGroups},
			{Method: http.MethodPut, Path: groupPath, Handle: p.putGroup},
			{Method: http.MethodGet, Path: groupPath, Handle: p.getGroup},
			{Method: http.MethodHead, Path: groupPath, Handle: p.headGroup},
			{Method: http.MethodPatch, Path: groupPath, Handle: p.patchGroup},
			{Method: http.MethodDelete, Path: groupPath, Handle: p.deleteGroup},
			{Method: http.MethodGet, Path: subscriptionPath + "/operationresults/{operation}", Handle: p.OperationResult},
			{Method: http.MethodGet, Path: subscriptionPath + "/resources", Handle: p.listResources},
			{Method: http.MethodGet, Path: groupPath + "/resources", Handle: p.listResources},
		},
	}
}
