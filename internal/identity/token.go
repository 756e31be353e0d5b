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

// Caller is who a verified token speaks for: an application, or a user who came
// through one.
type Caller struct {
	TenantID, ClientID, ObjectID string
	// User is the user principal name, empty for an application.
	User string
	// Engineer says that it is one of support's engineers, and no customer.
	Engineer bool
}

// Name is the user's name, or the application's id.
func (c Caller) Name() string {
	if c.User != "" {
		return c.User
	}
	return c.ClientID
}

type claims struct {
	jwt.Claims
	TenantID string `json:"tid"`
	AppID    string `json:"appid"`
	ObjectID string `json:"oid"`
	UPN      string `json:"upn,omitempty"`
	IDType   string `json:"idtyp"`
	Version  string `json:"ver"`
	UniqueID string `json:"uti"`
}

// issue signs an access token.
func (s *Service) issue(who subject, issuer, audience string) (string, error) {
	now := s.now()
	id := newGUID()
	kind := "app"
	if who.user != "" {
		kind = "user"
	}
	return s.sign(claims{
		Claims: jwt.Claims{
			Issuer: issuer, Subject: who.objectID, Audience: jwt.Audience{audience}, ID: id,
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now),
			Expiry: jwt.NewNumericDate(now.Add(tokenLifetime)),
		},
		TenantID: who.tenantID, AppID: who.clientID, ObjectID: who.objectID, UPN: who.user,
		IDType: kind, Version: "1.0", UniqueID: id,
	})
}

func (s *Service) sign(claims any) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", s.directory.key.id)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.directory.key.algorithm, Key: s.directory.key.signer}, options)
	if err != nil {
		return "", fmt.Errorf("make token signer: %w", err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// parse reads a token that this directory signed. It looks at the signature alone.
func (s *Service) parse(token string, into any) error {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{s.directory.key.algorithm})
	if err != nil {
		return fmt.Errorf("%w: it is no signed token", ErrInvalid)
	}
	if err := parsed.Claims(s.directory.key.signer.Public(), into); err != nil {
		return fmt.Errorf("%w: its signature is not ours", ErrInvalid)
	}
	return nil
}

// Verify checks a token's signature, issuer, audience and time, and that its
// application or user still exists. The error is ErrExpired or ErrInvalid.
func (s *Service) Verify(token string) (Caller, error) {
	var got claims
	if err := s.parse(token, &got); err != nil {
		return Caller{}, err
	}
	if err := s.checkClaims(got); err != nil {
		return Caller{}, err
	}
	// As the directory has it now: no token makes an engineer.
	application, known := s.directory.application(got.AppID)
	return Caller{
		TenantID: got.TenantID, ClientID: got.AppID, ObjectID: got.ObjectID, User: got.UPN,
		Engineer: got.UPN == "" && known && application.Engineer,
	}, nil
}

func (s *Service) checkClaims(got claims) error {
	if !slices.Contains(s.issuers(got.TenantID), got.Issuer) {
		return fmt.Errorf("%w: its issuer is not ours", ErrInvalid)
	}
	if !slices.ContainsFunc([]string(got.Audience), s.ownAudience) {
		return fmt.Errorf("%w: it is for another audience", ErrInvalid)
	}
	if !s.exists(got) {
		return fmt.Errorf("%w: its application or user does not exist", ErrInvalid)
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

// exists says whether the directory still has who a token was issued to.
func (s *Service) exists(got claims) bool {
	if got.UPN != "" {
		user, known := s.directory.user(got.UPN)
		return known && user.TenantID == got.TenantID && user.ObjectID() == got.ObjectID && got.AppID == azClientID
	}
	application, known := s.directory.application(got.AppID)
	return known && application.TenantID == got.TenantID && application.ObjectID() == got.ObjectID
}

// issuers are the names that a tenant's tokens may carry, one per dialect.
func (s *Service) issuers(tenantID string) []string {
	return []string{s.url + "/adfs", s.url + "/" + tenantID + "/v2.0"}
}

// ownAudience says whether a resource is this ARM API, with or without a slash.
func (s *Service) ownAudience(audience string) bool {
	return strings.TrimRight(audience, "/") == s.url
}
