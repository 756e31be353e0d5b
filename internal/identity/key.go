package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// signingKey signs tokens; its id is the thumbprint of its public half (RFC 7638).
type signingKey struct {
	signer    crypto.Signer
	algorithm jose.SignatureAlgorithm
	id        string
}

// NewSigningKey draws a key for tokens and returns it as PEM (PKCS #8).
func NewSigningKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw signing key: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode signing key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), nil
}

// ParseSigningKey reads a private key in PEM: PKCS #8, SEC 1 or PKCS #1.
func ParseSigningKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("the signing key is not PEM")
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse signing key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the signing key cannot sign")
	}
	return signer, nil
}

func newSigningKey(signer crypto.Signer) (signingKey, error) {
	key := signingKey{signer: signer}
	switch private := signer.(type) {
	case *ecdsa.PrivateKey:
		if private.Curve != elliptic.P256() {
			return key, errors.New("an ECDSA signing key must be on curve P-256")
		}
		key.algorithm = jose.ES256
	case *rsa.PrivateKey:
		if private.N.BitLen() < 2048 {
			return key, errors.New("an RSA signing key must have at least 2048 bits")
		}
		key.algorithm = jose.RS256
	default:
		return key, fmt.Errorf("a signing key of type %T is not supported", signer)
	}
	public := jose.JSONWebKey{Key: signer.Public()}
	print, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return key, fmt.Errorf("thumbprint of signing key: %w", err)
	}
	key.id = base64.RawURLEncoding.EncodeToString(print)
	return key, nil
}

// public is the key set that verifies tokens.
func (k signingKey) public() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
		Key: k.signer.Public(), KeyID: k.id, Algorithm: string(k.algorithm), Use: "sig",
	}}}
}
