package identity

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// wellKnownTenants are names that stand for "whichever tenant the application is in".
var wellKnownTenants = []string{"common", "organizations"}

// Serves says whether a request's path belongs to the directory rather than to ARM.
func (s *Service) Serves(r *http.Request) bool {
	_, pattern := s.mux.Handler(r)
	return pattern != ""
}

// ServeHTTP answers the paths that Serves names.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Service) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /adfs/.well-known/openid-configuration", s.adfsConfiguration)
	mux.HandleFunc("POST /adfs/oauth2/token", s.adfsToken)
	mux.HandleFunc("GET /adfs/discovery/keys", s.keys)
	mux.HandleFunc("GET /common/discovery/instance", s.instance)
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", s.tenantConfiguration)
	mux.HandleFunc("GET /{tenant}/.well-known/openid-configuration", s.tenantConfiguration)
	mux.HandleFunc("GET /{tenant}/discovery/v2.0/keys", s.keys)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.tenantToken)
	return mux
}

func (s *Service) adfsConfiguration(w http.ResponseWriter, _ *http.Request) {
	base := s.url + "/adfs"
	s.configuration(w, base, base+"/oauth2/authorize", base+"/oauth2/token", base+"/discovery/keys")
}

func (s *Service) tenantConfiguration(w http.ResponseWriter, r *http.Request) {
	tenant, err := s.resolveTenant(r.PathValue("tenant"))
	if err != nil {
		s.refuse(w, err)
		return
	}
	base := s.url + "/" + tenant
	s.configuration(w, base+"/v2.0", base+"/oauth2/v2.0/authorize", base+"/oauth2/v2.0/token", base+"/discovery/v2.0/keys")
}

func (s *Service) configuration(w http.ResponseWriter, issuer, authorize, token, keys string) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                issuer,
		"authorization_endpoint":                authorize,
		"token_endpoint":                        token,
		"jwks_uri":                              keys,
		"response_types_supported":              []string{"token"},
		"grant_types_supported":                 slices.Sorted(maps.Keys(grants)),
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic", "none"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{string(s.directory.key.algorithm)},
	})
}

func (s *Service) keys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.directory.key.public())
}

// instance answers MSAL's question which hosts speak for this cloud: only ours.
func (s *Service) instance(w http.ResponseWriter, r *http.Request) {
	own, _ := url.Parse(s.url)
	tenant := s.directory.firstTenant
	if asked, err := url.Parse(r.URL.Query().Get("authorization_endpoint")); err == nil && asked.Host == own.Host {
		if first, _, _ := strings.Cut(strings.TrimPrefix(asked.Path, "/"), "/"); s.directory.tenants[strings.ToLower(first)] {
			tenant = strings.ToLower(first)
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": s.url + "/" + tenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []any{map[string]any{
			"preferred_network": own.Host, "preferred_cache": own.Host, "aliases": []string{own.Host},
		}},
	})
}

// resolveTenant finds the tenant that a path names.
func (s *Service) resolveTenant(name string) (string, *oauthError) {
	lower := strings.ToLower(name)
	if s.directory.tenants[lower] {
		return lower, nil
	}
	for _, alias := range wellKnownTenants {
		if lower == alias {
			return s.directory.firstTenant, nil
		}
	}
	return "", &oauthError{http.StatusBadRequest, "invalid_request", 90002, "No tenant of that name exists here. Use the tenant id that Berth printed.", 0}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
