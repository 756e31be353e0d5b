package arm

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// checkVersion holds a request to the api-versions of its route.
func (s *Server) checkVersion(ctx context.Context, route *Route, r *Request) error {
	r.APIVersion = strings.ToLower(r.Query("api-version"))
	if r.APIVersion == "" {
		return Errorf(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	}
	if slices.Contains(route.Versions, r.APIVersion) {
		return nil
	}
	supported := strings.Join(route.Versions, ",")
	if route.provider.Native {
		return Errorf(http.StatusBadRequest, "InvalidApiVersionParameter",
			"The api-version '%s' is invalid. The supported versions are '%s'.", r.Query("api-version"), supported)
	}
	locations, err := s.OfferedLocations(ctx)
	if err != nil {
		return err
	}
	return noRegisteredProvider(r.Parameter("location"), r.Query("api-version"), route.Type, supported, locations)
}

func noRegisteredProvider(location, version, kind, supported string, locations []string) *Error {
	return Errorf(http.StatusBadRequest, "NoRegisteredProviderFound",
		"No registered resource provider found for location '%s' and API version '%s' for type '%s'. The supported api-versions are '%s'. The supported locations are '%s'.",
		location, version, kind, supported, strings.Join(locations, ","))
}
