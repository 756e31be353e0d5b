package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// tokenLifetime is Azure's: an hour less a second.
	tokenLifetime = 3599 * time.Second
	clockLeeway   = time.Minute
)

// ErrExpired says that a token was good and is no longer.
var ErrExpired = errors.New("the access token has expired")

// ErrInvalid says that a token is not one of ours, or not for us.
var ErrInvalid = errors.New("the access token is not valid")

// Caller is who a verified token speaks for.
type Caller struct {
	TenantID, ClientID, ObjectID string
}

type claims struct {
	jwt.Claims
	TenantID string `json:"tid"`
	AppID    string `json:"appid"`
	ObjectID string `json:"oid"`
	IDType   string `json:"idtyp"`
	Version  string `json:"ver"`
	UniqueID string `json:"uti"`
}

// issue signs a token for the application.
func (s *Service) issue(application Application, issuer, audience string) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", s.directory.key.id)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.directory.key.algorithm, Key: s.directory.key.signer}, options)
	if err != nil {
		return "", fmt.Errorf("make token signer: %w", err)
	}
	now := s.now()
	id := newGUID()
	token, err := jwt.Signed(signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer: issuer, Subject: application.ObjectID(), Audience: jwt.Audience{audience}, ID: id,
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now),
			Expiry: jwt.NewNumericDate(now.Add(tokenLifetime)),
		},
		TenantID: application.TenantID, AppID: application.ClientID, ObjectID: application.ObjectID(),
		IDType: "app", Version: "1.0", UniqueID: id,
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// Verify checks a token's signature, issuer, audience and time, and that its
// application still exists. The error is ErrExpired or ErrInvalid.
func (s *Service) Verify(token string) (Caller, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{s.directory.key.algorithm})
	if err != nil {
		return Caller{}, fmt.Errorf("%w: it is no signed token", ErrInvalid)
	}
	var got claims
	if err := parsed.Claims(s.directory.key.signer.Public(), &got); err != nil {
		return Caller{}, fmt.Errorf("%w: its signature is not ours", ErrInvalid)
	}
	if err := s.checkClaims(got); err != nil {
		return Caller{}, err
	}
	return Caller{TenantID: got.TenantID, ClientID: got.AppID, ObjectID: got.ObjectID}, nil
}

func (s *Service) checkClaims(got claims) error {
	if !slices.Contains(s.issuers(got.TenantID), got.Issuer) {
		return fmt.Errorf("%w: its issuer is not ours", ErrInvalid)
	}
	if !slices.ContainsFunc([]string(got.Audience), s.ownAudience) {
		return fmt.Errorf("%w: it is for another audience", ErrInvalid)
	}
	application, known := s.directory.application(got.AppID)
	if !known || application.TenantID != got.TenantID || application.ObjectID() != got.ObjectID {
		return fmt.Errorf("%w: its application does not exist", ErrInvalid)
	}
	if got.Expiry == nil {
		return fmt.Errorf("%w: it never expires", ErrInvalid)
	}
	err := got.Claims.ValidateWithLeeway(jwt.Expected{Time: s.now()}, clockLeeway)
	if errors.Is(err, jwt.ErrExpired) {
		return ErrExpired
	}
	if err != nil {
		return fmt.Errorf("%w: it is not valid yet", ErrInvalid)
	}
	return nil
}

// issuers are the names that a tenant's tokens may carry, one per dialect.
func (s *Service) issuers(tenantID string) []string {
	return []string{s.url + "/adfs", s.url + "/" + tenantID + "/v2.0"}
}

// ownAudience says whether a resource is this ARM API, with or without a slash.
func (s *Service) ownAudience(audience string) bool {
	return strings.TrimRight(audience, "/") == s.url
}
