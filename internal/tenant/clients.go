package tenant

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

const (
	// KubeconfigSecret in the control plane's namespace holds, under KubeconfigKey,
	// the kubeconfig that Berth's controllers use.
	KubeconfigSecret = "controller-kubeconfig"
	KubeconfigKey    = "kubeconfig"
)

const (
	recheckAfter = time.Minute
	dialTimeout  = 3 * time.Second
)

// ErrNoControlPlane says that a cluster has no kubeconfig: its control plane is
// not made yet, or is gone.
var ErrNoControlPlane = errors.New("no control plane")

// Source gives clients of tenant API servers. Clients implements it; tests and
// tools bring their own.
type Source interface {
	// Client returns a client of the cluster's API server, which need not answer
	// yet. The error wraps ErrNoControlPlane when there is no kubeconfig.
	Client(ctx context.Context, clusterID string) (client.WithWatch, error)
}

// Clients caches one client for each cluster. Its kubeconfig is read again every
// minute, so that rotated credentials are picked up. It is safe for concurrent use.
type Clients struct {
	reader client.Reader
	scheme *runtime.Scheme
	now    func() time.Time

	mu    sync.Mutex
	known map[string]*entry
}

type entry struct {
	kubeconfig [sha256.Size]byte
	checked    time.Time
	config     *rest.Config
	client     client.WithWatch
	transport  *http.Transport
}

// NewClients returns a cache that reads kubeconfigs with reader, which must see
// Secrets in every control plane's namespace.
func NewClients(reader client.Reader) *Clients {
	return &Clients{reader: reader, scheme: clientgoscheme.Scheme, now: time.Now, known: map[string]*entry{}}
}

// WithScheme makes the clients know the kinds of scheme instead of client-go's
// own. It must be called before the first use.
func (c *Clients) WithScheme(scheme *runtime.Scheme) *Clients {
	c.scheme = scheme
	return c
}

// Client implements Source. Requests have no timeout of their own: bound them
// by their context.
func (c *Clients) Client(ctx context.Context, clusterID string) (client.WithWatch, error) {
	e, err := c.entry(ctx, clusterID)
	if err != nil {
		return nil, err
	}
	return e.client, nil
}

// Config returns a copy of the cluster's client configuration.
func (c *Clients) Config(ctx context.Context, clusterID string) (*rest.Config, error) {
	e, err := c.entry(ctx, clusterID)
	if err != nil {
		return nil, err
	}
	return rest.CopyConfig(e.config), nil
}

// Drop forgets a cluster and closes its idle connections.
func (c *Clients) Drop(clusterID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.known[clusterID]; e != nil {
		e.transport.CloseIdleConnections()
		delete(c.known, clusterID)
	}
}

func (c *Clients) entry(ctx context.Context, clusterID string) (*entry, error) {
	c.mu.Lock()
	e := c.known[clusterID]
	fresh := e != nil && c.now().Sub(e.checked) < recheckAfter
	c.mu.Unlock()
	if fresh {
		return e, nil
	}
	kubeconfig, err := c.kubeconfig(ctx, clusterID)
	if errors.Is(err, ErrNoControlPlane) {
		c.Drop(clusterID)
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(kubeconfig)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.known[clusterID]; e != nil && e.kubeconfig == sum {
		e.checked = c.now()
		return e, nil
	}
	made, err := c.connect(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("client of cluster %s: %w", clusterID, err)
	}
	if old := c.known[clusterID]; old != nil {
		old.transport.CloseIdleConnections()
	}
	made.kubeconfig, made.checked = sum, c.now()
	c.known[clusterID] = made
	return made, nil
}

func (c *Clients) kubeconfig(ctx context.Context, clusterID string) ([]byte, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: KubeconfigSecret}
	err := c.reader.Get(ctx, key, &secret)
	if apierrors.IsNotFound(err) || err == nil && len(secret.Data[KubeconfigKey]) == 0 {
		return nil, fmt.Errorf("kubeconfig of cluster %s: %w", clusterID, ErrNoControlPlane)
	}
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig of cluster %s: %w", clusterID, err)
	}
	return secret.Data[KubeconfigKey], nil
}

// connect has a transport of its own for each cluster: client-go's cache of
// transports never lets one go, and clusters come and go here.
func (c *Clients) connect(kubeconfig []byte) (*entry, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("parse kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 100, 200
	config.UserAgent = "berth"
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("tls configuration: %w", err)
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 2 * dialTimeout,
		ForceAttemptHTTP2:   true,
		IdleConnTimeout:     90 * time.Second,
		// A connection to an API server that died without a word must not be
		// taken for a quiet one.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}
	wrapped, err := rest.HTTPWrappersForConfig(config, promptRefusals{transport})
	if err != nil {
		return nil, fmt.Errorf("http transport: %w", err)
	}
	made, err := client.NewWithWatch(config, client.Options{Scheme: c.scheme, HTTPClient: &http.Client{Transport: wrapped}})
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return &entry{config: config, client: made, transport: transport}, nil
}

// promptRefusals takes Retry-After from refused evictions. client-go would wait
// that long and ask again, inside a reconcile that has its own next round.
type promptRefusals struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p promptRefusals) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := p.RoundTripper.RoundTrip(request)
	if err == nil && response.StatusCode == http.StatusTooManyRequests && strings.HasSuffix(request.URL.Path, "/eviction") {
		response.Header.Del("Retry-After")
	}
	return response, err
}
