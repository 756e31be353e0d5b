package operation

import "crypto/rand"

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
