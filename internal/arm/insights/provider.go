package insights

import (
	"context"
	"fmt"
	"math"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

const (
	// namespace is the provider's name in every path.
	namespace        = "Microsoft.Insights"
	subscriptionPath = "/subscriptions/{subscription}/providers/" + namespace
)

// versions are the api-versions of the activity log; az sends the second.
var versions = []string{"2014-04-01", "2015-04-01"}

type provider struct{ *arm.Server }

// New is the provider Microsoft.Insights.
func New(s *arm.Server) arm.Provider {
	p := provider{s}
	return arm.Provider{
		Namespace: namespace, Versions: versions, Native: true,
		Types: []arm.ResourceType{{Name: "eventtypes"}, {Name: "eventCategories"}, {Name: "operations"}},
		Routes: []arm.Route{
			{Method: http.MethodGet, Path: subscriptionPath + "/eventtypes/management/values", Type: "eventtypes", Handle: p.listEvents},
			{Method: http.MethodGet, Path: "/providers/" + namespace + "/eventcategories", Type: "eventCategories", Handle: p.listCategories},
			{Method: http.MethodGet, Path: "/providers/" + namespace + "/operations", Type: "operations", Handle: listOperations},
		},
	}
}

// listEvents lists events, the newest first. What it reads may be a moment old, as in
// Azure, where it is minutes.
func (p provider) listEvents(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	wanted, err := parseFilter(r.Query("$filter"))
	if err != nil {
		return nil, err
	}
	fields, err := parseSelect(r.Query("$select"))
	if err != nil {
		return nil, err
	}
	var list v1beta1.ActivityLogEntryList
	if err := p.Client.List(ctx, &list, client.InNamespace(r.Namespace()), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list activity log: %w", err)
	}
	var items []arm.Item
	for i := range list.Items {
		for n, event := range eventsOf(&list.Items[i]) {
			if !wanted.holds(event) {
				continue
			}
			// A page begins with the newest. Of the same moment, what came later is first.
			key := fmt.Sprintf("%016x.%x.%s", math.MaxInt64-event.at.UnixNano(), 9-n, list.Items[i].Name)
			items = append(items, arm.Item{Key: key, Body: fields.of(event, r.Subscription)})
		}
	}
	return p.Page(r, items)
}

// categories are those that events of Berth have.
var categories = []string{categoryAdministrative, categoryHealth}

func (p provider) listCategories(context.Context, *arm.Request) (*arm.Response, error) {
	value := []any{}
	for _, name := range categories {
		value = append(value, localized(name))
	}
	return arm.OK(map[string]any{"value": value})
}

// listOperations lists the actions that the provider knows, as role definitions name them.
func listOperations(context.Context, *arm.Request) (*arm.Response, error) {
	return arm.OK(map[string]any{"value": []any{map[string]any{
		"name": namespace + "/eventtypes/values/read", "origin": "user,system", "isDataAction": false,
		"display": map[string]any{"provider": "Berth", "resource": "Activity log", "operation": "Read the activity log", "description": "Read the activity log."},
	}}})
}
