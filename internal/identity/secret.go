package identity

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	hashScheme = "pbkdf2-sha256"
	// hashRounds is OWASP's figure for PBKDF2 with HMAC-SHA-256.
	hashRounds = 600_000
	hashLength = 32
	// maxRounds keeps a damaged hash from costing minutes of CPU.
	maxRounds = 10_000_000
)

// HashSecret makes what a Directory keeps of a secret:
// pbkdf2-sha256$rounds$salt$hash, the last two in base64.
func HashSecret(secret string) (string, error) {
	return hashSecret(secret, hashRounds)
}

func hashSecret(secret string, rounds int) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	sum, err := pbkdf2.Key(sha256.New, secret, salt, rounds, hashLength)
	if err != nil {
		return "", fmt.Errorf("hash secret: %w", err)
	}
	return encodeHash(rounds, salt, sum), nil
}

func encodeHash(rounds int, salt, sum []byte) string {
	encode := base64.RawStdEncoding.EncodeToString
	return strings.Join([]string{hashScheme, strconv.Itoa(rounds), encode(salt), encode(sum)}, "$")
}

// newDecoy draws a hash that no secret is known to have and that costs as much to
// compare with as a real one.
func newDecoy() string {
	salt, sum := make([]byte, 16), make([]byte, hashLength)
	rand.Read(salt)
	rand.Read(sum)
	return encodeHash(hashRounds, salt, sum)
}

// NewSecret draws a client secret of 240 random bits. It has letters and digits
// alone: a command line takes what begins with a dash for an option.
func NewSecret() string {
	raw := make([]byte, 30)
	rand.Read(raw)
	return hex.EncodeToString(raw)
}

type secretHash struct {
	rounds    int
	salt, sum []byte
}

func parseHash(encoded string) (secretHash, error) {
	parts := strings.Split(encoded, "$")
	if len(parts) != 4 || parts[0] != hashScheme {
		return secretHash{}, errors.New("the secret hash is not of the form " + hashScheme + "$rounds$salt$hash")
	}
	rounds, err := strconv.Atoi(parts[1])
	if err != nil || rounds < 1 || rounds > maxRounds {
		return secretHash{}, errors.New("the secret hash has an impossible number of rounds")
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[2])
	sum, sumErr := base64.RawStdEncoding.DecodeString(parts[3])
	if saltErr != nil || sumErr != nil || len(salt) < 8 || len(sum) != hashLength {
		return secretHash{}, errors.New("the secret hash has a damaged salt or hash")
	}
	return secretHash{rounds: rounds, salt: salt, sum: sum}, nil
}

// Matches says whether HashSecret made the hash of this secret. A hash that is
// damaged or empty is of none.
func Matches(hash, secret string) bool {
	parsed, err := parseHash(hash)
	return err == nil && parsed.matches(secret)
}

// matches says whether the secret is the one that was hashed.
func (h secretHash) matches(secret string) bool {
	sum, err := pbkdf2.Key(sha256.New, secret, h.salt, h.rounds, hashLength)
	return err == nil && subtle.ConstantTimeCompare(sum, h.sum) == 1
}
