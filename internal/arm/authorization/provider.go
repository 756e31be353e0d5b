package authorization

import (
	"context"
	"net/http"

	"berth.dev/berth/internal/arm"
)

// namespace is the provider's name in every path.
const namespace = "Microsoft.Authorization"

// versions are the api-versions of locks; az sends the first, the SDKs the last.
var versions = []string{"2016-09-01", "2017-04-01", "2020-05-01"}

type provider struct{ *arm.Server }

// New is the provider Microsoft.Authorization. It is part of ARM, so that no subscription
// has to register it.
func New(s *arm.Server) arm.Provider {
	p := provider{s}
	made := arm.Provider{Namespace: namespace, Versions: versions, Native: true, Types: []arm.ResourceType{{Name: "locks"}, {Name: "operations"}},
		Routes: []arm.Route{{Method: http.MethodGet, Path: "/providers/" + namespace + "/operations", Type: "operations", Handle: listOperations}}}
	for _, at := range p.lockables() {
		all := at.path + "/providers/" + namespace + "/locks"
		one := all + "/{lock}"
		for _, route := range []arm.Route{
			{Method: http.MethodGet, Path: all, Handle: p.listLocks(at.find)},
			{Method: http.MethodGet, Path: one, Handle: p.getLock(at.find)},
			{Method: http.MethodPut, Path: one, Handle: p.putLock(at.find)},
			{Method: http.MethodDelete, Path: one, Handle: p.deleteLock(at.find)},
		} {
			route.Type, route.PassesLocks = "locks", true
			made.Routes = append(made.Routes, route)
		}
	}
	return made
}

// listOperations lists the actions that the provider knows, as role definitions name them.
func listOperations(context.Context, *arm.Request) (*arm.Response, error) {
	value := []any{}
	for _, one := range []struct{ name, does string }{
		{"locks/read", "Get a lock"}, {"locks/write", "Create or update a lock"}, {"locks/delete", "Delete a lock"},
	} {
		value = append(value, map[string]any{
			"name": namespace + "/" + one.name, "origin": "user,system", "isDataAction": false,
			"display": map[string]any{"provider": "Berth", "resource": "Lock", "operation": one.does, "description": one.does + "."},
		})
	}
	return arm.OK(map[string]any{"value": value})
}
