package tenant

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// readyTimeout bounds one question for readiness.
const readyTimeout = 3 * time.Second

// maxReadyBody is how much of a refusal is read.
const maxReadyBody = 4 << 10

// Get asks the cluster's API server for a path that is no resource, such as
// /metrics. The caller closes the body.
func (c *Clients) Get(ctx context.Context, clusterID, path string) (*http.Response, error) {
	e, err := c.entry(ctx, clusterID)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(e.config.Host, "/")+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask cluster %s: %w", clusterID, err)
	}
	response, err := e.transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("ask cluster %s for %s: %w", clusterID, path, err)
	}
	return response, nil
}

// Ready asks the cluster's API server for /readyz. Nil means that it answered
// that it is.
func (c *Clients) Ready(ctx context.Context, clusterID string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	response, err := c.Get(ctx, clusterID, "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReadyBody))
	if err != nil {
		return fmt.Errorf("read the answer of cluster %s: %w", clusterID, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("cluster %s is not ready: %s: %s", clusterID, response.Status, body)
	}
	return nil
}
