package resources

import (
	"context"
	"net/http"

	"berth.dev/berth/internal/arm"
)

var featureVersions = []string{"2015-12-01", "2021-07-01"}

// Features is Microsoft.Features: this Berth has no preview features.
func Features(s *arm.Server) arm.Provider {
	const all = subscriptionPath + "/providers/Microsoft.Features"
	const one = all + "/providers/{namespace}/features/{feature}"
	p := provider{s}
	return arm.Provider{
		Namespace: "Microsoft.Features", Versions: featureVersions,
		Types: []arm.ResourceType{{Name: "features"}, {Name: "providers"}},
		Routes: []arm.Route{
			{Method: http.MethodGet, Path: all + "/features", Type: "features", Handle: p.noFeatures},
			{Method: http.MethodGet, Path: all + "/providers/{namespace}/features", Type: "features", Handle: p.noFeatures},
			{Method: http.MethodGet, Path: one, Type: "features", Handle: unknownFeature},
			{Method: http.MethodPost, Path: one + "/register", Type: "features", Handle: unknownFeature},
			{Method: http.MethodPost, Path: one + "/unregister", Type: "features", Handle: unknownFeature},
		},
	}
}

func (p provider) noFeatures(_ context.Context, r *arm.Request) (*arm.Response, error) {
	return p.Page(r, nil)
}

func unknownFeature(_ context.Context, r *arm.Request) (*arm.Response, error) {
	return nil, arm.Errorf(http.StatusNotFound, "FeatureNotFound",
		"The feature '%s' could not be found in the namespace '%s'. This Berth has no preview features.", r.Parameter("feature"), r.Parameter("namespace"))
}
