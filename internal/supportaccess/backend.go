package supportaccess

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/pki"
	"berth.dev/berth/internal/policy/access"
)

const (
	// lookAgain is how old what reaches an API server may be: its authority can be rotated.
	lookAgain   = 30 * time.Second
	dialTimeout = 5 * time.Second
)

// Backend is a cluster's API server for one user.
type Backend struct {
	// Address is host:port. TLS checks the API server and shows the user's certificate.
	Address string
	TLS     *tls.Config
	// Mark changes when the rest does for another reason than a new certificate.
	Mark [sha256.Size]byte
}

// Backends reach clusters' API servers.
type Backends interface {
	// Backend returns the cluster's API server for a user, whose certificate ends then.
	// It is asked with the mark of what it returned before, and may say that this is good.
	Backend(ctx context.Context, cluster *v1beta1.ManagedCluster, user string, until time.Time, known [sha256.Size]byte) (backend *Backend, same bool, err error)
}

// ControlPlanes reach the control planes that Berth hosts. The certificates are signed
// with the cluster's own authority, and never leave the process.
type ControlPlanes struct {
	Reader client.Reader
	Now    func() time.Time
}

// Backend implements Backends.
func (c ControlPlanes) Backend(ctx context.Context, cluster *v1beta1.ManagedCluster, user string, until time.Time, known [sha256.Size]byte) (*Backend, bool, error) {
	if cluster.Status.ControlPlaneAddress == "" {
		return nil, false, errors.New("the control plane has no address yet")
	}
	var secret corev1.Secret
	if err := c.Reader.Get(ctx, client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(cluster.Spec.ID), Name: controlplane.RootsSecret}, &secret); err != nil {
		return nil, false, fmt.Errorf("read roots of trust: %w", err)
	}
	roots, err := controlplane.LoadRoots(&secret)
	if err != nil {
		return nil, false, err
	}
	address := net.JoinHostPort(cluster.Status.ControlPlaneAddress, strconv.Itoa(controlplane.APIServerPort))
	mark := sha256.Sum256(append([]byte(address+"\x00"+until.UTC().Format(time.RFC3339)+"\x00"), roots.CA.CertPEM...))
	if mark == known {
		return nil, true, nil
	}
	config, err := ClientTLS(roots.CA, user, c.Now(), until)
	return &Backend{Address: address, TLS: config, Mark: mark}, false, err
}

// ClientTLS trusts an authority and shows a certificate of it for a user, good until then.
func ClientTLS(authority *pki.Authority, user string, now, until time.Time) (*tls.Config, error) {
	certificate, key, err := authority.Issue(pki.Request{CommonName: user, Organizations: []string{controlplane.SupportGroup}, Usage: pki.Client, Life: until.Sub(now)}, now)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("pair of certificate and key: %w", err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(authority.Cert)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted, Certificates: []tls.Certificate{pair}}, nil
}

// reached are the API servers that were reached lately, by access.
type reached struct {
	Config

	mu   sync.Mutex
	held map[client.ObjectKey]*held
}

type held struct {
	address   string
	mark      [sha256.Size]byte
	transport *http.Transport
	checked   time.Time
}

func newReached(config Config) *reached {
	return &reached{Config: config, held: map[client.ObjectKey]*held{}}
}

// to is the way to the API server of a request.
func (r *reached) to(ctx context.Context, v *visit) (*held, error) {
	key := client.ObjectKeyFromObject(v.access)
	r.mu.Lock()
	before := r.held[key]
	r.mu.Unlock()
	var known [sha256.Size]byte
	if before != nil {
		if known = before.mark; r.Now().Sub(before.checked) < lookAgain {
			return before, nil
		}
	}
	backend, same, err := r.Backends.Backend(ctx, v.evidence.Cluster, access.User(v.access), access.Until(v.evidence), known)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if same {
		renewed := *before
		renewed.checked = r.Now()
		r.held[key] = &renewed
		return &renewed, nil
	}
	made := &held{address: backend.Address, mark: backend.Mark, transport: transportOf(backend.TLS), checked: r.Now()}
	if before != nil {
		before.transport.CloseIdleConnections()
	}
	r.held[key] = made
	return made, nil
}

// drop forgets an access and closes its idle connections.
func (r *reached) drop(key client.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.held[key]; before != nil {
		before.transport.CloseIdleConnections()
		delete(r.held, key)
	}
}

// transportOf speaks HTTP/1.1 alone, which every kind of stream can come of.
func transportOf(config *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 2 * dialTimeout,
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		IdleConnTimeout:     30 * time.Second,
		MaxIdleConnsPerHost: 8,
		DisableCompression:  true,
	}
}
