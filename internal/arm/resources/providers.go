package resources

import (
	"context"
	"fmt"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

func (p provider) listProviders(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	offered, err := p.OfferedLocations(ctx)
	if err != nil {
		return nil, err
	}
	all := p.Providers()
	items := make([]arm.Item, 0, len(all))
	for i := range all {
		items = append(items, arm.Item{Key: all[i].Namespace, Body: render(r, &all[i], offered)})
	}
	return p.Page(r, items)
}

func (p provider) getProvider(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.named(r)
	if err != nil {
		return nil, err
	}
	offered, err := p.OfferedLocations(ctx)
	if err != nil {
		return nil, err
	}
	return arm.OK(render(r, found, offered))
}

func (p provider) register(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.setRegistered(ctx, r, true)
}

// unregister refuses while the provider's resources exist.
func (p provider) unregister(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var clusters v1beta1.ManagedClusterList
	if err := p.APIReader.List(ctx, &clusters, client.InNamespace(r.Namespace()), client.Limit(1)); err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	found, err := p.named(r)
	if err != nil {
		return nil, err
	}
	if len(clusters.Items) > 0 && found.Namespace == "Microsoft.ContainerService" {
		return nil, arm.Errorf(http.StatusConflict, "ResourcesExist",
			"The resource provider '%s' cannot be unregistered while the subscription has resources of it. Delete them first.", found.Namespace)
	}
	return p.setRegistered(ctx, r, false)
}

func (p provider) setRegistered(ctx context.Context, r *arm.Request, registered bool) (*arm.Response, error) {
	found, err := p.named(r)
	if err != nil {
		return nil, err
	}
	if err := p.SetRegistered(ctx, r, found, registered); err != nil {
		return nil, err
	}
	return p.getProvider(ctx, r)
}

func (p provider) named(r *arm.Request) (*arm.Provider, error) {
	namespace := r.Parameter("namespace")
	if found := p.Provider(namespace); found != nil {
		return found, nil
	}
	return nil, arm.Errorf(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", namespace)
}

func render(r *arm.Request, one *arm.Provider, offered []string) map[string]any {
	state, policy := "Registered", "RegistrationRequired"
	if one.Native {
		policy = "RegistrationFree"
	} else if !r.Registered(one) {
		state = "NotRegistered"
	}
	kinds := make([]any, 0, len(one.Types))
	for _, kind := range one.Types {
		versions, locations := kind.Versions, []string{}
		if versions == nil {
			versions = one.Versions
		}
		if kind.Locations {
			locations = offered
		}
		kinds = append(kinds, map[string]any{
			"resourceType": kind.Name, "locations": locations, "apiVersions": newestFirst(versions), "capabilities": "None",
		})
	}
	return map[string]any{
		"id": r.SubscriptionPath() + "/providers/" + one.Namespace, "namespace": one.Namespace,
		"registrationState": state, "registrationPolicy": policy, "resourceTypes": kinds,
	}
}

// newestFirst is the order in which clients expect api-versions: az takes the first.
func newestFirst(versions []string) []string {
	reversed := make([]string, 0, len(versions))
	for i := len(versions) - 1; i >= 0; i-- {
		reversed = append(reversed, versions[i])
	}
	return reversed
}
