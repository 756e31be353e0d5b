package eventgrid

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"berth.dev/berth/internal/arm"
)

const (
	// namespace is the provider's name in every path.
	namespace = "Microsoft.EventGrid"
	kind      = "eventSubscriptions"
	// validation is how long an endpoint may take to say that it wants events.
	validation = 10 * time.Second
	// maxValidations is how many endpoints are asked at the same time.
	maxValidations = 16
)

// versions are the api-versions of event subscriptions; az and Terraform send the first.
var versions = []string{"2022-06-15", "2025-02-15"}

type provider struct {
	*arm.Server
	// own are Berth's networks, where no endpoint is.
	own []netip.Prefix
	// asks has room for the endpoints that are asked at the same time.
	asks chan struct{}
}

// New is the provider Microsoft.EventGrid. The ranges are Berth's own networks.
func New(own []netip.Prefix) func(*arm.Server) arm.Provider {
	return func(s *arm.Server) arm.Provider {
		p := provider{Server: s, own: own, asks: make(chan struct{}, maxValidations)}
		made := arm.Provider{Namespace: namespace, Versions: versions, Types: []arm.ResourceType{{Name: kind}, {Name: "operations"}},
			Routes: []arm.Route{{Method: http.MethodGet, Path: "/providers/" + namespace + "/operations", Type: "operations", Handle: listOperations}}}
		for _, at := range p.sources() {
			all := at.path + "/providers/" + namespace + "/" + kind
			one := all + "/{eventSubscription}"
			for _, route := range []arm.Route{
				{Method: http.MethodGet, Path: all, Handle: p.list(at.find, at.below)},
				{Method: http.MethodGet, Path: one, Handle: p.get(at.find)},
				{Method: http.MethodPut, Path: one, Handle: p.put(at.find)},
				{Method: http.MethodPatch, Path: one, Handle: p.patch(at.find)},
				{Method: http.MethodDelete, Path: one, Handle: p.remove(at.find)},
				{Method: http.MethodPost, Path: one + "/getFullUrl", Reads: true, Handle: p.fullURL(at.find)},
				{Method: http.MethodPost, Path: one + "/getDeliveryAttributes", Reads: true, Unlogged: true, Handle: p.attributes(at.find)},
				{Method: http.MethodPost, Path: one + "/listKeys", Reads: true, Handle: p.listKeys(at.find)},
				{Method: http.MethodPost, Path: one + "/regenerateKey", Handle: p.regenerateKey(at.find)},
			} {
				route.Type = kind
				made.Routes = append(made.Routes, route)
			}
		}
		for _, at := range p.sources()[:2] {
			made.Routes = append(made.Routes, arm.Route{
				Method: http.MethodGet, Path: at.path + "/providers/" + namespace + "/locations/{location}/" + kind, Type: kind, Handle: p.listRegional(at.find),
			})
		}
		return made
	}
}

// listOperations lists the actions that the provider knows, as role definitions name them.
func listOperations(context.Context, *arm.Request) (*arm.Response, error) {
	value := []any{}
	for _, one := range []struct{ name, does string }{
		{"read", "Read an event subscription"}, {"write", "Create or update an event subscription"}, {"delete", "Delete an event subscription"},
		{"getFullUrl/action", "Read the full URL of an event subscription"}, {"getDeliveryAttributes/action", "Read the delivery attributes of an event subscription"},
		{"listKeys/action", "Read the keys that deliveries are signed with"}, {"regenerateKey/action", "Replace a key that deliveries are signed with"},
	} {
		value = append(value, map[string]any{
			"name": namespace + "/" + kind + "/" + one.name, "origin": "user,system", "isDataAction": false,
			"display": map[string]any{"provider": "Berth", "resource": "Event subscription", "operation": one.does, "description": one.does + "."},
		})
	}
	return arm.OK(map[string]any{"value": value})
}
