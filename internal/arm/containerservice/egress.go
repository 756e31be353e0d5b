package containerservice

import (
	"context"

	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

type endpointDetail struct {
	IPAddress   string `json:"ipAddress,omitempty"`
	Port        int32  `json:"port"`
	Protocol    string `json:"protocol"`
	Description string `json:"description"`
}

type endpointDependency struct {
	DomainName      string           `json:"domainName"`
	EndpointDetails []endpointDetail `json:"endpointDetails"`
}

type outboundEndpoint struct {
	Category  string               `json:"category"`
	Endpoints []endpointDependency `json:"endpoints"`
}

// outboundEndpoints lists what the nodes of a cluster have to reach (I3), as AKS's
// OutboundEnvironmentEndpointCollection.
func (p provider) outboundEndpoints(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	value := []outboundEndpoint{}
	for _, needed := range policy.EgressOf(found.cluster) {
		detail := endpointDetail{needed.Address, needed.Port, needed.Protocol, needed.Description}
		if last := len(value) - 1; last >= 0 && value[last].Category == needed.Category {
			value[last].Endpoints[0].EndpointDetails = append(value[last].Endpoints[0].EndpointDetails, detail)
			continue
		}
		value = append(value, outboundEndpoint{needed.Category, []endpointDependency{{needed.Domain, []endpointDetail{detail}}}})
	}
	return arm.OK(map[string]any{"value": value})
}
