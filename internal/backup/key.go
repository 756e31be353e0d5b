package backup

import (
	"fmt"

	"filippo.io/age"
)

// NewKey draws the secret key of a cluster's backups, as text (AGE-SECRET-KEY-1…).
func NewKey() (string, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("draw the key of backups: %w", err)
	}
	return identity.String(), nil
}

func parseKey(key string) (*age.X25519Identity, error) {
	identity, err := age.ParseX25519Identity(key)
	if err != nil {
		// age's own words might repeat a part of the key.
		return nil, fmt.Errorf("the key of backups is none of age's secret keys")
	}
	return identity, nil
}
