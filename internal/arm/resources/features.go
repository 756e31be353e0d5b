package resources

import (
	"context"
	"net/http"
	"strings"

	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

var featureVersions = []string{"2015-12-01", "2021-07-01"}

// Features is Microsoft.Features: the previews of this Berth, and which of them a
// subscription has registered (L1).
func Features(s *arm.Server) arm.Provider {
	const all = subscriptionPath + "/providers/Microsoft.Features"
	const one = all + "/providers/{namespace}/features/{feature}"
	p := provider{s}
	return arm.Provider{
		Namespace: "Microsoft.Features", Versions: featureVersions,
		Types: []arm.ResourceType{{Name: "features"}, {Name: "providers"}},
		Routes: []arm.Route{
			{Method: http.MethodGet, Path: all + "/features", Type: "features", Handle: p.listFeatures},
			{Method: http.MethodGet, Path: all + "/providers/{namespace}/features", Type: "features", Handle: p.listFeatures},
			{Method: http.MethodGet, Path: one, Type: "features", Handle: p.getFeature},
			{Method: http.MethodPost, Path: one + "/register", Type: "features", Handle: p.setFeature(arm.FeatureRegistered)},
			{Method: http.MethodPost, Path: one + "/unregister", Type: "features", Handle: p.setFeature(arm.FeatureUnregistered)},
		},
	}
}

// listFeatures lists the previews of all providers, or of the one that the path names.
func (p provider) listFeatures(_ context.Context, r *arm.Request) (*arm.Response, error) {
	var items []arm.Item
	for _, feature := range policy.Features() {
		if named := r.Parameter("namespace"); named == "" || strings.EqualFold(named, feature.Namespace) {
			items = append(items, arm.Item{Key: feature.FullName(), Body: renderFeature(r, feature)})
		}
	}
	return p.Page(r, items)
}

func (p provider) getFeature(_ context.Context, r *arm.Request) (*arm.Response, error) {
	feature, err := namedFeature(r)
	if err != nil {
		return nil, err
	}
	return arm.OK(renderFeature(r, feature))
}

func (p provider) setFeature(state arm.FeatureState) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		feature, err := namedFeature(r)
		if err != nil {
			return nil, err
		}
		next := state
		if state == arm.FeatureUnregistered && arm.FeatureStateOf(r.Subscription, feature) == arm.FeatureNotRegistered {
			next = arm.FeatureNotRegistered
		}
		if err := p.SetFeature(ctx, r, feature, next); err != nil {
			return nil, err
		}
		return arm.OK(renderFeature(r, feature))
	}
}

func namedFeature(r *arm.Request) (policy.Feature, error) {
	feature, ok := policy.FindFeature(r.Parameter("namespace"), r.Parameter("feature"))
	if ok {
		return feature, nil
	}
	return feature, arm.Errorf(http.StatusNotFound, "FeatureNotFound",
		"The feature '%s' could not be found in the namespace '%s'. List the features to see which there are.", r.Parameter("feature"), r.Parameter("namespace"))
}

func renderFeature(r *arm.Request, feature policy.Feature) map[string]any {
	return map[string]any{
		"id":         r.SubscriptionPath() + "/providers/Microsoft.Features/providers/" + feature.Namespace + "/features/" + feature.Name,
		"name":       feature.FullName(),
		"type":       "Microsoft.Features/providers/features",
		"properties": map[string]any{"state": arm.FeatureStateOf(r.Subscription, feature)},
	}
}
