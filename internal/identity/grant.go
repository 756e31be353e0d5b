package identity

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxForm bounds a token request's body.
const maxForm = 64 << 10

// oauthError is an OAuth 2.0 error (RFC 6749, 5.2) with the AADSTS number that
// Azure's clients show.
type oauthError struct {
	status      int
	code        string
	aadsts      int
	description string
	retryAfter  time.Duration
}

func (s *Service) adfsToken(w http.ResponseWriter, r *http.Request) {
	s.token(w, r, func(application Application) (string, *oauthError) { return s.url + "/adfs", nil })
}

func (s *Service) tenantToken(w http.ResponseWriter, r *http.Request) {
	tenant, err := s.resolveTenant(r.PathValue("tenant"))
	named := s.directory.tenants[strings.ToLower(r.PathValue("tenant"))]
	s.token(w, r, func(application Application) (string, *oauthError) {
		if err != nil {
			return "", err
		}
		if named && application.TenantID != tenant {
			return "", unknownApplication()
		}
		return s.url + "/" + application.TenantID + "/v2.0", nil
	})
}

// token answers the client credentials grant (RFC 6749, 4.4).
func (s *Service) token(w http.ResponseWriter, r *http.Request, issuerFor func(Application) (string, *oauthError)) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	application, audience, refusal := s.grant(w, r, issuerFor)
	if refusal != nil {
		s.log.Warn("token refused", "client", sanitize(clientID(r)), "remote", remoteIP(r), "reason", refusal.code, "aadsts", refusal.aadsts)
		s.refuse(w, refusal)
		return
	}
	issuer, refusal := issuerFor(application)
	if refusal != nil {
		s.refuse(w, refusal)
		return
	}
	token, err := s.issue(application, issuer, audience)
	if err != nil {
		s.log.Error("token not issued", "client", application.ClientID, "error", err)
		s.refuse(w, &oauthError{http.StatusInternalServerError, "server_error", 90033, "The token could not be signed.", 0})
		return
	}
	s.log.Info("token issued", "client", application.ClientID, "remote", remoteIP(r))
	seconds := int(tokenLifetime / time.Second)
	writeJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
	})
}

// grant checks the form and who sent it.
func (s *Service) grant(w http.ResponseWriter, r *http.Request, issuerFor func(Application) (string, *oauthError)) (Application, string, *oauthError) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return Application{}, "", &oauthError{http.StatusBadRequest, "invalid_request", 900144, "The request body is not a form, or it is too large.", 0}
	}
	if kind := r.PostForm.Get("grant_type"); kind != "client_credentials" {
		return Application{}, "", &oauthError{http.StatusBadRequest, "unsupported_grant_type", 70003, "Only the grant type 'client_credentials' is supported.", 0}
	}
	application, refusal := s.authenticate(r, issuerFor)
	if refusal != nil {
		return Application{}, "", refusal
	}
	audience, refusal := s.audience(r)
	return application, audience, refusal
}

// authenticate finds the application and checks its secret.
func (s *Service) authenticate(r *http.Request, issuerFor func(Application) (string, *oauthError)) (Application, *oauthError) {
	id, secret := clientID(r), clientSecret(r)
	if id == "" || secret == "" {
		return Application{}, &oauthError{http.StatusUnauthorized, "invalid_client", 7000218, "The request must carry 'client_id' and 'client_secret'.", 0}
	}
	application, known := s.directory.application(id)
	if known && s.proved(application, secret) {
		return application, nil
	}
	guesser := strings.ToLower(id) + "|" + remoteIP(r)
	if wait := s.failures.wait(guesser, s.now()); wait > 0 {
		return Application{}, &oauthError{http.StatusTooManyRequests, "temporarily_unavailable", 50196, "Too many failed log-ins. Try again later.", wait}
	}
	if known {
		if _, refusal := issuerFor(application); refusal != nil {
			known = false
		}
	}
	if !known {
		s.failures.add(guesser, s.now())
		return Application{}, unknownApplication()
	}
	right, err := s.secretMatches(r.Context(), application, secret)
	if err != nil {
		return Application{}, &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", 90033, "Too many log-ins at once. Try again.", time.Second}
	}
	if !right {
		s.failures.add(guesser, s.now())
		return Application{}, &oauthError{http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client secret provided. Send the secret's value, not its id, of application '" + application.ClientID + "'.", 0}
	}
	s.remember(application, secret)
	return application, nil
}

func (s *Service) secretMatches(ctx context.Context, application Application, secret string) (bool, error) {
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	hash, err := parseHash(application.SecretHash)
	return err == nil && hash.matches(secret), nil
}

// audience finds what the token is for: v2 says scope=<resource>/.default, v1
// and AD FS may say resource=<resource>.
func (s *Service) audience(r *http.Request) (string, *oauthError) {
	resource := r.PostForm.Get("resource")
	for _, scope := range strings.Fields(r.PostForm.Get("scope")) {
		if found, ok := strings.CutSuffix(scope, "/.default"); ok {
			resource = found
		}
	}
	if resource == "" {
		return "", &oauthError{http.StatusBadRequest, "invalid_request", 900144, "The request body must carry 'scope', such as '" + s.url + "/.default'.", 0}
	}
	if !s.ownAudience(resource) {
		return "", &oauthError{http.StatusBadRequest, "invalid_resource", 500011, "No resource of that name exists here; the only one is '" + s.url + "'.", 0}
	}
	return resource, nil
}

func unknownApplication() *oauthError {
	return &oauthError{http.StatusBadRequest, "unauthorized_client", 700016, "The application was not found in the directory. Check the client id and the tenant.", 0}
}

func (s *Service) refuse(w http.ResponseWriter, e *oauthError) {
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.retryAfter.Seconds()))))
	}
	trace := newGUID()
	writeJSON(w, e.status, map[string]any{
		"error":             e.code,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s", e.aadsts, e.description, trace),
		"error_codes":       []int{e.aadsts},
		"timestamp":         s.now().UTC().Format("2006-01-02 15:04:05Z"),
		"trace_id":          trace,
		"correlation_id":    newGUID(),
	})
}

func clientID(r *http.Request) string {
	if id, _, ok := r.BasicAuth(); ok {
		return id
	}
	return r.PostForm.Get("client_id")
}

func clientSecret(r *http.Request) string {
	if _, secret, ok := r.BasicAuth(); ok {
		return secret
	}
	return r.PostForm.Get("client_secret")
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// sanitize keeps a client's text from filling or forging the log.
func sanitize(text string) string {
	const most = 64
	if len(text) > most {
		text = text[:most]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
