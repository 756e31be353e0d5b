package operation

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
)

const (
	clusterIDLength  = 12
	clusterIDLetters = "abcdefghijklmnopqrstuvwxyz234567"
)

// NewClusterID draws a ManagedCluster.spec.id: 60 random bits as lower-case
// base 32, never used again.
func NewClusterID() string {
	raw := make([]byte, clusterIDLength)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the process instead
	for i := range raw {
		raw[i] = clusterIDLetters[int(raw[i])%len(clusterIDLetters)]
	}
	return string(raw)
}

// NameOf is an operation's name, a GUID, that depends on nothing but its parts: who
// begins the same thing twice uses the same name, and the second time finds it.
func NameOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
