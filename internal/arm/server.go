package arm

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/identity"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/support"
	"berth.dev/berth/internal/policy/triage"
	"berth.dev/berth/internal/release"
)

// Config is what the ARM server works with.
type Config struct {
	// Client writes, and reads what may be a moment old. APIReader never reads
	// from a cache: what a client has just written it must find.
	Client    client.Client
	APIReader client.Reader
	Catalogue *release.Catalogue
	Identity  *identity.Directory
	// PublicURL is where clients reach this server, such as https://127.0.0.1:8443.
	PublicURL string
	// GatewayAddress is host:port of the tenant API servers' gateway, as clients
	// reach it.
	GatewayAddress string
	// CA is the authority of PublicURL's certificate, PEM, for support's kubeconfigs;
	// empty where everybody trusts it.
	CA []byte
	// Locations are offered when the ServicePolicy names none.
	Locations []string
	// Preflight reads what may hold an upgrade up; nil looks at nothing.
	Preflight Preflight
	// Inspector looks into clusters that tickets are about; nil looks into none.
	Inspector Inspector
	// StopWebhooks finds the webhooks in a cluster that a stop must ask; nil finds none.
	StopWebhooks func(context.Context, *v1beta1.ManagedCluster) ([]support.Webhook, error)
	Now          func() time.Time
	Log          *slog.Logger
}

// Preflight reads in managed clusters what may hold an upgrade up; package preflight
// does.
type Preflight interface {
	// Budgets reads the disruption budgets with pods on the nodes of some pools.
	Budgets(ctx context.Context, cluster *v1beta1.ManagedCluster, pools []string) ([]policy.Budget, error)
	// Uses reads the use of APIs that are to be removed, and Window how far back it counts.
	Uses(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]policy.APIUse, error)
	Window(ctx context.Context) (time.Duration, error)
}

// Inspector reads in managed clusters what policy must know to answer a ticket; package
// inspect does.
type Inspector interface {
	// Inspect adds what the cluster's own API server knows to the evidence. An error says
	// why that could not be had.
	Inspect(ctx context.Context, cluster *v1beta1.ManagedCluster, evidence *triage.Evidence) error
}

// Server is the ARM endpoint. Provider packages use it to answer.
type Server struct {
	Config
	identity  *identity.Service
	providers []Provider
	limits    *limits
}

// NewServer makes the handler of the ARM endpoint, of its metadata documents and
// of the token endpoints, serving what the providers offer.
func NewServer(config Config, build ...func(*Server) Provider) http.Handler {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	config.PublicURL = strings.TrimRight(config.PublicURL, "/")
	s := &Server{Config: config, limits: newLimits()}
	s.identity = identity.NewService(config.Identity, config.PublicURL, config.Now, config.Log)
	for _, one := range build {
		s.providers = append(s.providers, one(s).prepare())
	}
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := s.newRequest(r)
	writeIDs(w.Header(), request)
	defer func() {
		if cause := recover(); cause != nil {
			s.Log.Error("request panicked", "correlation", request.CorrelationID, "path", r.URL.Path, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			writeError(w, request, internalError(request.CorrelationID))
		}
	}()
	if s.identity.Serves(r) {
		s.identity.ServeHTTP(w, r)
		return
	}
	if strings.EqualFold(r.URL.Path, metadataPath) && r.Method == http.MethodGet {
		s.metadata(w, request)
		return
	}
	response, err := s.answer(r.Context(), w, request)
	if err == nil {
		writeResponse(w, request, response)
		return
	}
	known := asError(err)
	if known == nil || known.Status >= http.StatusInternalServerError && known.Status != http.StatusNotImplemented {
		s.Log.Error("request failed", "correlation", request.CorrelationID, "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if known == nil {
		known = internalError(request.CorrelationID)
	}
	writeError(w, request, known)
}

// answer takes a request through every gate, in ARM's order.
func (s *Server) answer(ctx context.Context, w http.ResponseWriter, r *Request) (*Response, error) {
	if err := s.authenticate(r); err != nil {
		return nil, err
	}
	route, err := s.find(r)
	if err != nil {
		return nil, err
	}
	if err := s.checkCaller(route, r); err != nil {
		return nil, err
	}
	if err := s.checkVersion(ctx, route, r); err != nil {
		return nil, err
	}
	if err := s.checkSubscription(ctx, r); err != nil {
		return nil, err
	}
	if route, err = route.refined(w, r); err != nil {
		return nil, err
	}
	if err := s.throttle(w.Header(), route, r); err != nil {
		return nil, err
	}
	// Before this nothing is written: neither for strangers nor for what is too much.
	entry := s.begun(ctx, route, r)
	response, err := s.handle(ctx, w, route, r)
	s.answered(ctx, entry, response, err)
	return response, err
}

// handle takes a request through the gates whose refusals are logged, and to its provider.
func (s *Server) handle(ctx context.Context, w http.ResponseWriter, route *Route, r *Request) (*Response, error) {
	if err := checkState(route, r); err != nil {
		return nil, err
	}
	warn(w.Header(), route, r)
	if err := s.checkRegistration(route, r); err != nil {
		return nil, err
	}
	if err := s.checkDenied(ctx, route, r); err != nil {
		return nil, err
	}
	if err := s.checkLocks(ctx, route, r); err != nil {
		return nil, err
	}
	if err := r.readBody(w, route.MaxBody); err != nil {
		return nil, err
	}
	return route.Handle(ctx, r)
}
