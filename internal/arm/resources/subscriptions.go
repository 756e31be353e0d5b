package resources

import (
	"context"
	"fmt"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

type subscriptionBody struct {
	ID                   string            `json:"id"`
	SubscriptionID       string            `json:"subscriptionId"`
	TenantID             string            `json:"tenantId"`
	DisplayName          string            `json:"displayName"`
	State                string            `json:"state"`
	AuthorizationSource  string            `json:"authorizationSource"`
	ManagedByTenants     []string          `json:"managedByTenants"`
	SubscriptionPolicies map[string]string `json:"subscriptionPolicies"`
}

func (p provider) tenants(_ context.Context, r *arm.Request) (*arm.Response, error) {
	id := r.Caller.TenantID
	return p.Page(r, []arm.Item{{Key: id, Body: map[string]any{
		"id": "/tenants/" + id, "tenantId": id, "displayName": "Berth", "defaultDomain": "berth.internal",
		"domains": []string{"berth.internal"}, "tenantCategory": "Home", "tenantType": "AAD", "countryCode": "",
	}}})
}

func (p provider) subscriptions(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var list v1beta1.SubscriptionList
	if err := p.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list subscriptions: %w", err)
	}
	var items []arm.Item
	for i := range list.Items {
		if one := &list.Items[i]; arm.Visible(one, r) {
			items = append(items, arm.Item{Key: one.Name, Body: renderSubscription(one)})
		}
	}
	return p.Page(r, items)
}

func (p provider) subscription(_ context.Context, r *arm.Request) (*arm.Response, error) {
	return arm.OK(renderSubscription(r.Subscription))
}

// armStates maps what ARM has no word for; the rest is the same.
var armStates = map[v1beta1.SubscriptionState]string{v1beta1.SubscriptionSuspended: "Disabled", "": "Enabled"}

func renderSubscription(s *v1beta1.Subscription) subscriptionBody {
	state, mapped := armStates[s.Spec.State]
	if !mapped {
		state = string(s.Spec.State)
	}
	return subscriptionBody{
		ID: "/subscriptions/" + s.Name, SubscriptionID: s.Name, TenantID: strings.ToLower(s.Spec.TenantID), DisplayName: s.Spec.DisplayName,
		State: state, AuthorizationSource: "RoleBased", ManagedByTenants: []string{},
		SubscriptionPolicies: map[string]string{"locationPlacementId": "Berth_2026-01-01", "quotaId": "Berth_2026-01-01", "spendingLimit": "Off"},
	}
}

func (p provider) locations(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	offered, err := p.OfferedLocations(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]arm.Item, 0, len(offered))
	for _, name := range offered {
		items = append(items, arm.Item{Key: name, Body: map[string]any{
			"id": r.SubscriptionPath() + "/locations/" + name, "name": name, "type": "Region", "displayName": name, "regionalDisplayName": name,
			"metadata": map[string]any{"regionType": "Physical", "regionCategory": "Recommended", "geography": name, "geographyGroup": "Berth"},
		}})
	}
	return p.Page(r, items)
}
