package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"filippo.io/age"
)

// NewKey draws the secret key of backups, as text (AGE-SECRET-KEY-1…).
func NewKey() (string, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("draw the key of backups: %w", err)
	}
	return identity.String(), nil
}

// PublicKey is the half of a secret key that seals and does not open (age1…).
func PublicKey(key string) (string, error) {
	identity, err := parseKey(key)
	if err != nil {
		return "", err
	}
	return identity.Recipient().String(), nil
}

// ManagementPrefix begins the ids of management clusters' backups.
const ManagementPrefix = "management-"

// ManagementID is what the backups of a management cluster are stored under: it follows
// from the public half of its recovery key. Another key begins another chain, and two
// Berths that share a store do not meet.
func ManagementID(publicKey string) string {
	sum := sha256.Sum256([]byte(publicKey))
	return ManagementPrefix + hex.EncodeToString(sum[:6])
}

func parseKey(key string) (*age.X25519Identity, error) {
	identity, err := age.ParseX25519Identity(key)
	if err != nil {
		// age's own words might repeat a part of the key.
		return nil, fmt.Errorf("the key of backups is none of age's secret keys")
	}
	return identity, nil
}

// recipientOf is who a key seals for: itself if it is the public half, else that of it.
func recipientOf(key string) (age.Recipient, error) {
	if strings.HasPrefix(key, "age1") {
		recipient, err := age.ParseX25519Recipient(key)
		if err != nil {
			return nil, fmt.Errorf("the key of backups is none of age's public keys")
		}
		return recipient, nil
	}
	identity, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	return identity.Recipient(), nil
}
