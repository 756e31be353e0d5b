package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

// refreshLifetime is Entra ID's. Each use gives a new refresh token; a changed
// password ends them all.
const refreshLifetime = 90 * 24 * time.Hour

// idClaims tell the client who logged in. az names the account by upn.
type idClaims struct {
	jwt.Claims
	TenantID          string `json:"tid"`
	ObjectID          string `json:"oid"`
	UPN               string `json:"upn"`
	PreferredUsername string `json:"preferred_username"`
	Version           string `json:"ver"`
}

// refreshClaims are those of a token that only the token endpoint takes.
type refreshClaims struct {
	jwt.Claims
	ClientID string `json:"appid"`
	UPN      string `json:"upn"`
	// Password is the mark of the password that the user had.
	Password string `json:"pwd"`
}

// byPassword is the resource owner password credentials grant (RFC 6749, 4.3),
// which is what `az login -u` sends.
func (s *Service) byPassword(r *http.Request, issuerFor issuer) (subject, *oauthError) {
	if !strings.EqualFold(clientID(r), azClientID) {
		return subject{}, unknownApplication()
	}
	name, password := r.PostForm.Get("username"), r.PostForm.Get("password")
	if name == "" || password == "" {
		return subject{}, &oauthError{http.StatusBadRequest, "invalid_request", 900144, "The request body must carry 'username' and 'password'.", 0}
	}
	user, known := s.directory.user(name)
	if known {
		_, known = issuerFor(user.TenantID)
	}
	hash := user.PasswordHash
	if !known {
		// As dear as a real one: the time of the answer must not tell which users exist.
		hash = s.decoy
	}
	wrong := &oauthError{http.StatusBadRequest, "invalid_grant", 50126, "Error validating credentials due to invalid username or password.", 0}
	// An address's guesses are counted for all names together: else a list of names would be a way to
	// try one password on each, and to keep us hashing.
	return user.subject(), s.prove(r, proof{owner: "user " + strings.ToLower(name), guesses: "users", hash: hash, secret: password}, wrong)
}

// byRefreshToken gives a user who logged in new tokens (RFC 6749, 6).
func (s *Service) byRefreshToken(r *http.Request, issuerFor issuer) (subject, *oauthError) {
	var got refreshClaims
	if !strings.EqualFold(clientID(r), azClientID) {
		return subject{}, unknownApplication()
	}
	if err := s.parse(r.PostForm.Get("refresh_token"), &got); err != nil || !slices.Contains(got.Audience, s.refreshAudience()) || got.Expiry == nil || got.ClientID != azClientID {
		return subject{}, refusedGrant(70000, "The refresh token is not one of ours. Log in again.")
	}
	user, known := s.directory.user(got.UPN)
	if known {
		name, ours := issuerFor(user.TenantID)
		known = ours && name == got.Issuer && user.ObjectID() == got.Subject
	}
	if !known || got.Password != user.passwordMark() {
		return subject{}, refusedGrant(50173, "The refresh token was revoked: its user is gone or has another password. Log in again.")
	}
	switch err := got.ValidateWithLeeway(jwt.Expected{Time: s.now()}, clockLeeway); {
	case errors.Is(err, jwt.ErrExpired):
		return subject{}, refusedGrant(700082, "The refresh token has expired due to inactivity. Log in again.")
	case err != nil:
		return subject{}, refusedGrant(70000, "The refresh token is not valid yet.")
	}
	return user.subject(), nil
}

func refusedGrant(aadsts int, description string) *oauthError {
	return &oauthError{http.StatusBadRequest, "invalid_grant", aadsts, description, 0}
}

// addUserTokens adds to an answer what a user's client needs to name the account
// and to go on without the password.
func (s *Service) addUserTokens(answer map[string]any, who subject, issuer string) error {
	user, _ := s.directory.user(who.user)
	now := s.now()
	registered := func(audience string, life time.Duration) jwt.Claims {
		return jwt.Claims{
			Issuer: issuer, Subject: who.objectID, Audience: jwt.Audience{audience}, ID: newGUID(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
		}
	}
	id, err := s.sign(idClaims{
		Claims: registered(who.clientID, tokenLifetime), TenantID: who.tenantID, ObjectID: who.objectID,
		UPN: who.user, PreferredUsername: who.user, Version: "1.0",
	})
	if err != nil {
		return err
	}
	refresh, err := s.sign(refreshClaims{
		Claims: registered(s.refreshAudience(), refreshLifetime), ClientID: who.clientID, UPN: who.user, Password: user.passwordMark(),
	})
	if err != nil {
		return err
	}
	info, err := json.Marshal(map[string]string{"uid": who.objectID, "utid": who.tenantID})
	if err != nil {
		return fmt.Errorf("encode client info: %w", err)
	}
	answer["id_token"], answer["refresh_token"] = id, refresh
	answer["refresh_token_expires_in"] = int(refreshLifetime / time.Second)
	answer["client_info"] = base64.RawURLEncoding.EncodeToString(info)
	return nil
}

// refreshAudience is nobody's but ours: ARM refuses a token for it.
func (s *Service) refreshAudience() string { return s.url + "/oauth2/token" }

func (u User) subject() subject {
	return subject{tenantID: u.TenantID, clientID: azClientID, objectID: u.ObjectID(), user: u.Name}
}

// passwordMark changes with the password and tells nothing about it.
func (u User) passwordMark() string {
	sum := sha256.Sum256([]byte(u.PasswordHash))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
