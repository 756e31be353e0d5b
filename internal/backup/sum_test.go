package backup

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// TestASnapshotIsGivenWithItsHash whichever way it was stored: backups of versions before, and
// those that were read over gRPC, have it already.
func TestASnapshotIsGivenWithItsHash(t *testing.T) {
	database := bytes.Repeat([]byte("bolt"), 2*sector/4)
	sum := sha256.Sum256(database)
	whole := append(bytes.Clone(database), sum[:]...)
	for _, c := range []struct {
		name         string
		stored, want []byte
	}{
		{"the database alone", database, whole},
		{"with its hash", whole, whole},
		{"nothing", nil, nil},
		{"part of a database", database[:sector+1], database[:sector+1]},
	} {
		t.Run(c.name, func(t *testing.T) {
			var given bytes.Buffer
			s := &summed{to: &given, hash: sha256.New()}
			for part := c.stored; len(part) > 0; part = part[min(100, len(part)):] {
				if _, err := s.Write(part[:min(100, len(part))]); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.end(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(given.Bytes(), c.want) {
				t.Errorf("%d bytes are given as %d, want %d", len(c.stored), given.Len(), len(c.want))
			}
		})
	}
}
