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

// Ready asks the cluster's API server for /readyz. Nil means that it answered
// that it is.
func (c *Clients) Ready(ctx context.Context, clusterID string) error {
	e, err := c.entry(ctx, clusterID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(e.config.Host, "/")+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("ask cluster %s: %w", clusterID, err)
	}
	response, err := e.transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("ask cluster %s whether it is ready: %w", clusterID, err)
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
