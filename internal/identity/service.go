package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxHashing bounds how many secrets are hashed at once, and so what a flood of
// log-ins costs.
const maxHashing = 2

// Service issues and verifies tokens for one endpoint. It is safe for concurrent use.
type Service struct {
	directory *Directory
	url       string
	now       func() time.Time
	log       *slog.Logger
	mux       *http.ServeMux
	failures  *failures
	hashing   chan struct{}
	// decoy is the hash of no password.
	decoy string

	proofKey [32]byte
	mu       sync.Mutex
	proofs   map[string][]byte
}

// NewService makes the service of a directory at publicURL, such as
// https://127.0.0.1:8443, which is issuer and audience of all its tokens.
func NewService(directory *Directory, publicURL string, now func() time.Time, log *slog.Logger) *Service {
	s := &Service{
		directory: directory, url: strings.TrimRight(publicURL, "/"), now: now, log: log,
		failures: newFailures(), hashing: make(chan struct{}, maxHashing), decoy: newDecoy(), proofs: map[string][]byte{},
	}
	rand.Read(s.proofKey[:])
	s.mux = s.routes()
	return s
}

// TenantID is the directory's first tenant.
func (s *Service) TenantID() string { return s.directory.firstTenant }

// AuthorizationURI is where a caller without a good token should go.
func (s *Service) AuthorizationURI() string { return s.url + "/" + s.directory.firstTenant }

// proved says whether this secret was found right before, at the cost of one
// HMAC: a client that knows its secret is neither slowed down by others' guesses
// nor made to pay for hashing again.
func (s *Service) proved(p proof) bool {
	s.mu.Lock()
	known := s.proofs[p.owner]
	s.mu.Unlock()
	return known != nil && hmac.Equal(known, s.mark(p))
}

func (s *Service) remember(p proof) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proofs[p.owner] = s.mark(p)
}

func (s *Service) mark(p proof) []byte {
	mac := hmac.New(sha256.New, s.proofKey[:])
	fmt.Fprintf(mac, "%s\x00%s\x00%s", p.owner, p.hash, p.secret)
	return mac.Sum(nil)
}

func newGUID() string {
	var raw [16]byte
	rand.Read(raw[:])
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}
