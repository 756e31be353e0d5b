package identity

import (
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

// subject is who a token speaks for: an application, or a user who came through one.
type subject struct {
	tenantID, clientID, objectID string
	// user is the user principal name, empty for an application.
	user string
}

// issuer is the name that tokens of a tenant get at one token endpoint; false if
// the tenant's tokens are not to be had there.
type issuer func(tenantID string) (string, bool)

// grants are the grant types (RFC 6749): how a subject proves itself.
var grants = map[string]func(*Service, *http.Request, issuer) (subject, *oauthError){
	"client_credentials": (*Service).bySecret,
	"password":           (*Service).byPassword,
	"refresh_token":      (*Service).byRefreshToken,
}

func (s *Service) adfsToken(w http.ResponseWriter, r *http.Request) {
	s.token(w, r, func(string) (string, bool) { return s.url + "/adfs", true })
}

func (s *Service) tenantToken(w http.ResponseWriter, r *http.Request) {
	tenant, err := s.resolveTenant(r.PathValue("tenant"))
	named := s.directory.tenants[strings.ToLower(r.PathValue("tenant"))]
	s.token(w, r, func(tenantID string) (string, bool) {
		return s.url + "/" + tenantID + "/v2.0", err == nil && (!named || tenantID == tenant)
	})
}

// token answers a token request of any grant type.
func (s *Service) token(w http.ResponseWriter, r *http.Request, issuerFor issuer) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	who, audience, refusal := s.grant(w, r, issuerFor)
	if refusal != nil {
		s.log.Warn("token refused", "client", sanitize(clientID(r)), "user", sanitize(r.PostForm.Get("username")), "remote", remoteIP(r), "reason", refusal.code, "aadsts", refusal.aadsts)
		s.refuse(w, refusal)
		return
	}
	name, _ := issuerFor(who.tenantID)
	answer, err := s.tokens(who, name, audience)
	if err != nil {
		s.log.Error("token not issued", "client", who.clientID, "user", who.user, "error", err)
		s.refuse(w, &oauthError{http.StatusInternalServerError, "server_error", 90033, "The token could not be signed.", 0})
		return
	}
	s.log.Info("token issued", "client", who.clientID, "user", who.user, "remote", remoteIP(r))
	writeJSON(w, http.StatusOK, answer)
}

// tokens is the answer to a request that was granted.
func (s *Service) tokens(who subject, issuer, audience string) (map[string]any, error) {
	access, err := s.issue(who, issuer, audience)
	if err != nil {
		return nil, err
	}
	seconds := int(tokenLifetime / time.Second)
	answer := map[string]any{"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": access}
	if who.user == "" {
		return answer, nil
	}
	return answer, s.addUserTokens(answer, who, issuer)
}

// grant checks the form and who sent it.
func (s *Service) grant(w http.ResponseWriter, r *http.Request, issuerFor issuer) (subject, string, *oauthError) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return subject{}, "", &oauthError{http.StatusBadRequest, "invalid_request", 900144, "The request body is not a form, or it is too large.", 0}
	}
	prove, supported := grants[r.PostForm.Get("grant_type")]
	if !supported {
		return subject{}, "", &oauthError{http.StatusBadRequest, "unsupported_grant_type", 70003, "Only the grant types 'client_credentials', 'password' and 'refresh_token' are supported.", 0}
	}
	who, refusal := prove(s, r, issuerFor)
	if refusal != nil {
		return subject{}, "", refusal
	}
	audience, refusal := s.audience(r)
	return who, audience, refusal
}

// bySecret is the client credentials grant (RFC 6749, 4.4).
func (s *Service) bySecret(r *http.Request, issuerFor issuer) (subject, *oauthError) {
	id, secret := clientID(r), clientSecret(r)
	if id == "" || secret == "" {
		return subject{}, &oauthError{http.StatusUnauthorized, "invalid_client", 7000218, "The request must carry 'client_id' and 'client_secret'.", 0}
	}
	application, known := s.directory.application(id)
	if known {
		_, known = issuerFor(application.TenantID)
	}
	owner := "application " + strings.ToLower(id)
	if !known {
		// Counted together, as users are: made-up ids must not each have guesses of their own.
		return subject{}, s.prove(r, proof{owner: owner, guesses: "unknown applications"}, unknownApplication())
	}
	wrong := &oauthError{http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client secret provided. Send the secret's value, not its id, of application '" + application.ClientID + "'.", 0}
	who := subject{tenantID: application.TenantID, clientID: application.ClientID, objectID: application.ObjectID()}
	return who, s.prove(r, proof{owner: owner, guesses: owner, hash: application.SecretHash, secret: secret}, wrong)
}

// proof is a secret that a caller sent, whose it should be, and the hash that it
// must have. Without a hash it is wrong.
type proof struct {
	owner, hash, secret string
	// guesses is what wrong ones are counted under, beside the caller's address.
	guesses string
}

// prove checks a proof; wrong is what a wrong one is answered with. Who sends
// wrong ones is slowed down.
func (s *Service) prove(r *http.Request, p proof, wrong *oauthError) *oauthError {
	if s.proved(p) {
		return nil
	}
	who := guesserNamed(p.guesses + "|" + remoteIP(r))
	if wait := s.failures.wait(who, s.now()); wait > 0 {
		return tooManyGuesses(wait)
	}
	if p.hash != "" {
		select {
		case s.hashing <- struct{}{}:
			defer func() { <-s.hashing }()
		case <-r.Context().Done():
			return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", 90033, "Too many log-ins at once. Try again.", time.Second}
		}
	}
	// Taken here and not above: a right secret that waits for its turn uses up nothing.
	if wait := s.failures.take(who, s.now()); wait > 0 {
		return tooManyGuesses(wait)
	}
	if !Matches(p.hash, p.secret) {
		return wrong
	}
	s.failures.giveBack(who)
	s.remember(p)
	return nil
}

func tooManyGuesses(wait time.Duration) *oauthError {
	return &oauthError{http.StatusTooManyRequests, "temporarily_unavailable", 50196, "Too many failed log-ins. Try again later.", wait}
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
