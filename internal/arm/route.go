package arm

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Handler answers a request that has passed every gate.
type Handler func(ctx context.Context, r *Request) (*Response, error)

// Route is one operation of a provider.
type Route struct {
	Method string
	// Path is a pattern such as /subscriptions/{subscription}/resourceGroups/{group}.
	// Its words match without case, {name} matches one segment.
	Path string
	// Type names the resource type in errors, such as managedClusters.
	Type string
	// Versions are the api-versions it takes; nil means its provider's.
	Versions []string
	// Limit throttles it besides ARM's own limits; nil means the provider's default.
	Limit *Limit
	// Reads marks a POST that changes nothing.
	Reads bool
	// Deletes marks a POST that deletes: locks take it for a DELETE.
	Deletes bool
	// PassesLocks marks what no lock holds: the locks themselves.
	PassesLocks bool
	// WhileSuspended marks a write that a suspended subscription may make.
	WhileSuspended bool
	// Unlogged marks a POST that only asks, and that the activity log does without.
	Unlogged bool
	// MaxBody bounds the request's body, in bytes; 0 means the server's own limit, 1 MiB.
	MaxBody int64
	// Callers are who may call it; the customer alone if nothing is said.
	Callers Callers
	// Refine makes of the route what it is for one request, by its caller and its body,
	// before anything is counted or held; nil for a route that is the same for all.
	Refine func(*Request, *Route)
	Handle Handler

	provider *Provider
	segments []string
}

// refined is the route for one request.
func (r *Route) refined(w http.ResponseWriter, asked *Request) (*Route, error) {
	if r.Refine == nil {
		return r, nil
	}
	if err := asked.readBody(w, r.MaxBody); err != nil {
		return nil, err
	}
	own := *r
	own.Refine(asked, &own)
	return &own, nil
}

// Callers are who may call a route.
type Callers int

// The callers: a customer owns what is in the subscription, an engineer is support's (C7).
const (
	Customers Callers = iota
	Engineers
	CustomersAndEngineers
)

// ResourceType describes a type in the list of providers.
type ResourceType struct {
	Name      string
	Versions  []string
	Locations bool
}

// Provider is a resource provider: its name, its types and what it answers.
type Provider struct {
	// Namespace is such as Microsoft.ContainerService.
	Namespace string
	Versions  []string
	Types     []ResourceType
	Routes    []Route
	// DefaultLimit throttles routes that have none of their own.
	DefaultLimit *Limit
	// Native marks ARM's own resources, which need no registration and whose wrong
	// api-versions are answered in ARM's own words.
	Native bool
}

// writes says whether the route changes anything.
func (r *Route) writes() bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && !r.Reads
}

// prepare splits the patterns once.
func (p Provider) prepare() Provider {
	p.Routes = slices.Clone(p.Routes)
	for i := range p.Routes {
		route := &p.Routes[i]
		route.segments = split(route.Path)
		if route.Versions == nil {
			route.Versions = p.Versions
		}
		if route.Limit == nil {
			route.Limit = p.DefaultLimit
		}
	}
	return p
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// find is the route of a request. It fills in the request's parameters.
func (s *Server) find(r *Request) (*Route, error) {
	segments := split(r.URL.EscapedPath())
	for i, segment := range segments {
		clear, err := url.PathUnescape(segment)
		if err != nil {
			return nil, Errorf(http.StatusBadRequest, "InvalidRequestUri", "The path segment '%s' is not encoded correctly.", segment)
		}
		segments[i] = clear
	}
	var allowed []string
	for p := range s.providers {
		provider := &s.providers[p]
		for i := range provider.Routes {
			route := &provider.Routes[i]
			parameters, matched := match(route.segments, segments)
			if !matched {
				continue
			}
			if route.Method != r.Method {
				allowed = append(allowed, route.Method)
				continue
			}
			r.parameters = parameters
			route.provider = provider
			return route, nil
		}
	}
	if len(allowed) > 0 {
		e := Errorf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The requested resource does not support http method '%s'.", r.Method)
		e.Header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
		return nil, e
	}
	return nil, s.unknownPath(segments)
}

func match(pattern, segments []string) (map[string]string, bool) {
	if len(pattern) != len(segments) {
		return nil, false
	}
	parameters := map[string]string{}
	for i, want := range pattern {
		if name, ok := strings.CutPrefix(want, "{"); ok {
			parameters[strings.TrimSuffix(name, "}")] = segments[i]
		} else if !strings.EqualFold(want, segments[i]) {
			return nil, false
		}
	}
	return parameters, true
}

// unknownPath says what about a path is unknown.
func (s *Server) unknownPath(segments []string) *Error {
	at := slices.IndexFunc(segments, func(segment string) bool { return strings.EqualFold(segment, "providers") })
	if at < 0 || at+1 >= len(segments) {
		return Errorf(http.StatusNotFound, "NotFound", "Nothing is served at '/%s'.", strings.Join(segments, "/"))
	}
	namespace := segments[at+1]
	provider := s.Provider(namespace)
	if provider == nil {
		return Errorf(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", namespace)
	}
	kind := ""
	for i := at + 2; i < len(segments); i += 2 {
		kind = strings.TrimPrefix(kind+"/"+segments[i], "/")
	}
	return Errorf(http.StatusNotFound, "InvalidResourceType",
		"The resource type '%s' could not be found in the namespace '%s'. The supported api-versions are '%s'.", kind, provider.Namespace, strings.Join(provider.Versions, ","))
}

// Provider finds a provider by its namespace, without case.
func (s *Server) Provider(namespace string) *Provider {
	for i := range s.providers {
		if strings.EqualFold(s.providers[i].Namespace, namespace) {
			return &s.providers[i]
		}
	}
	return nil
}

// Providers are all providers, in the order in which they were given.
func (s *Server) Providers() []Provider { return s.providers }
