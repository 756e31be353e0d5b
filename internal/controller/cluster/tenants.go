package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"k8s.io/client-go/rest"

	"berth.dev/berth/internal/tenant"
)

// NewTenants asks the API servers that clients knows.
func NewTenants(clients *tenant.Clients) Tenants { return probe{clients} }

type probe struct{ *tenant.Clients }

// Ready implements Tenants. It dials anew each time: a connection that is kept
// would show the process that answered before.
func (p probe) Ready(ctx context.Context, clusterID string) error {
	config, err := p.Config(ctx, clusterID)
	if err != nil {
		return err
	}
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return fmt.Errorf("tls configuration: %w", err)
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", config.Host, err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", config.Host, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		return fmt.Errorf("%s answers %s: %s", config.Host, response.Status, body)
	}
	return nil
}
