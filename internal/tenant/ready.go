package tenant

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/version"
)

// readyTimeout bounds one question for readiness.
const readyTimeout = 3 * time.Second

// maxReadyBody is how much of an answer is read.
const maxReadyBody = 4 << 10

// GetFrom asks the one API server of the cluster that listens on address, a host and a
// port, for a path that is no resource, such as /metrics. It has to prove that it is the
// cluster's as whoever answers at the usual address has. The caller closes the body.
func (c *Clients) GetFrom(ctx context.Context, clusterID, address, path string) (*http.Response, error) {
	e, err := c.entry(ctx, clusterID)
	if err != nil {
		return nil, err
	}
	once := e.transport.Clone()
	once.DisableKeepAlives = true
	once.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
	}
	return e.get(ctx, clusterID, path, once)
}

// Ready asks the cluster's API server for /readyz. Nil means that it answered
// that it is.
func (c *Clients) Ready(ctx context.Context, clusterID string) error {
	e, err := c.entry(ctx, clusterID)
	if err != nil {
		return err
	}
	_, err = e.ask(ctx, clusterID, "/readyz", e.transport)
	return err
}

// Version is the version that the cluster's API server says it has, such as
// 1.36.3. It dials anew each time: a connection that is kept may lead to a server
// that is about to be replaced.
func (c *Clients) Version(ctx context.Context, clusterID string) (string, error) {
	e, err := c.entry(ctx, clusterID)
	if err != nil {
		return "", err
	}
	once := e.transport.Clone()
	once.DisableKeepAlives = true
	defer once.CloseIdleConnections()
	body, err := e.ask(ctx, clusterID, "/version", once)
	if err != nil {
		return "", err
	}
	var info version.Info
	if err := json.Unmarshal(body, &info); err != nil {
		return "", fmt.Errorf("parse the version of cluster %s: %w", clusterID, err)
	}
	return strings.TrimPrefix(info.GitVersion, "v"), nil
}

// ask reads a small answer, and takes anything but 200 for a refusal.
func (e *entry) ask(ctx context.Context, clusterID, path string, through http.RoundTripper) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	response, err := e.get(ctx, clusterID, path, through)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReadyBody))
	if err != nil {
		return nil, fmt.Errorf("read the answer of cluster %s: %w", clusterID, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("cluster %s answers %s: %s: %s", clusterID, path, response.Status, body)
	}
	return body, nil
}

func (e *entry) get(ctx context.Context, clusterID, path string, through http.RoundTripper) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(e.config.Host, "/")+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask cluster %s: %w", clusterID, err)
	}
	response, err := through.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("ask cluster %s for %s: %w", clusterID, path, err)
	}
	return response, nil
}
