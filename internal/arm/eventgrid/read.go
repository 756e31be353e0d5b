package eventgrid

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

// read is the event subscription that the path names at a scope, nil if there is none.
func (p provider) read(ctx context.Context, r *arm.Request, at arm.Target) (*v1beta1.EventSubscription, error) {
	var found v1beta1.EventSubscription
	key := client.ObjectKey{Namespace: r.Namespace(), Name: v1beta1.EventSubscriptionObjectName(at.ID, r.Parameter("eventSubscription"))}
	err := p.APIReader.Get(ctx, key, &found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read event subscription %s: %w", key, err)
	}
	return &found, nil
}

func (p provider) mustRead(ctx context.Context, r *arm.Request, find arm.Find) (*v1beta1.EventSubscription, error) {
	at, err := find(ctx, r)
	if err != nil {
		return nil, err
	}
	found, err := p.read(ctx, r, at)
	if err == nil && found == nil {
		err = arm.Errorf(http.StatusNotFound, "ResourceNotFound", "The event subscription '%s' could not be found at '%s'. List the event subscriptions to see where it is.", r.Parameter("eventSubscription"), at.ID)
	}
	return found, err
}

func (p provider) get(find arm.Find) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		found, err := p.mustRead(ctx, r, find)
		if err != nil {
			return nil, err
		}
		return arm.OK(render(found))
	}
}

func (p provider) remove(find arm.Find) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		at, err := find(ctx, r)
		if err != nil {
			return nil, err
		}
		found, err := p.read(ctx, r, at)
		if err != nil {
			return nil, err
		}
		if found == nil {
			return arm.NoContent()
		}
		if err := p.Client.Delete(ctx, found); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("delete event subscription %s: %w", found.Spec.Name, err)
		}
		return &arm.Response{Status: http.StatusOK}, nil
	}
}

// list lists the event subscriptions of a scope and, if it is asked for those, of what is
// below.
func (p provider) list(find arm.Find, below bool) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		at, err := find(ctx, r)
		if err != nil {
			return nil, err
		}
		return p.page(ctx, r, func(scope string) bool {
			return strings.EqualFold(scope, at.ID) || below && policy.ScopeWithin(scope, at.ID)
		})
	}
}

// listRegional lists those of a location: a cluster's are where it is, those of groups and
// subscriptions are global.
func (p provider) listRegional(find arm.Find) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		at, err := find(ctx, r)
		if err != nil {
			return nil, err
		}
		var clusters v1beta1.ManagedClusterList
		if err := p.Client.List(ctx, &clusters, client.InNamespace(r.Namespace())); err != nil {
			return nil, fmt.Errorf("list clusters: %w", err)
		}
		where := map[string]string{}
		for i := range clusters.Items {
			c := &clusters.Items[i]
			where[strings.ToLower(r.GroupPath(c.Spec.ResourceGroup)+"/providers/"+arm.ClusterType+"/"+c.Spec.Name)] = plain(c.Spec.Location)
		}
		return p.page(ctx, r, func(scope string) bool {
			location := where[strings.ToLower(scope)]
			if location == "" {
				location = "global"
			}
			return location == plain(r.Parameter("location")) && policy.ScopeWithin(scope, at.ID)
		})
	}
}

func plain(location string) string { return strings.ToLower(strings.ReplaceAll(location, " ", "")) }

func (p provider) page(ctx context.Context, r *arm.Request, wanted func(scope string) bool) (*arm.Response, error) {
	if r.Query("$filter") != "" {
		return nil, arm.Errorf(http.StatusBadRequest, "InvalidFilterInQueryString", "Invalid $filter specified in the query string. Berth supports none here.")
	}
	var list v1beta1.EventSubscriptionList
	if err := p.APIReader.List(ctx, &list, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list event subscriptions: %w", err)
	}
	var items []arm.Item
	for i := range list.Items {
		if one := &list.Items[i]; wanted(one.Spec.Scope) {
			items = append(items, arm.Item{Key: strings.ToLower(idOf(one)), Body: render(one)})
		}
	}
	return p.Page(r, items)
}
