package arm

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// NormalLocation is how a location is stored: "West US 2" is westus2.
func NormalLocation(location string) string {
	return strings.ToLower(strings.ReplaceAll(location, " ", ""))
}

// OfferedLocations are where clusters can be created, the default first.
func (s *Server) OfferedLocations(ctx context.Context) ([]string, error) {
	var policy v1beta1.ServicePolicy
	err := s.Client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &policy)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read service policy: %w", err)
	}
	locations := policy.Spec.Locations
	if len(locations) == 0 {
		locations = s.Locations
	}
	normal := make([]string, len(locations))
	for i, location := range locations {
		normal[i] = NormalLocation(location)
	}
	return normal, nil
}

// CheckLocation refuses a location that is missing or not offered and returns its
// normal form. Kind is the resource type, such as
// Microsoft.ContainerService/managedClusters.
func (s *Server) CheckLocation(ctx context.Context, location, kind string) (string, error) {
	if location == "" {
		return "", Errorf(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition.")
	}
	offered, err := s.OfferedLocations(ctx)
	if err != nil {
		return "", err
	}
	normal := NormalLocation(location)
	if !slices.Contains(offered, normal) {
		return "", Errorf(http.StatusBadRequest, "LocationNotAvailableForResourceType",
			"The provided location '%s' is not available for resource type '%s'. List of available regions for the resource type is '%s'.", location, kind, strings.Join(offered, ","))
	}
	return normal, nil
}
