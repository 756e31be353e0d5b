package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// server is Berth's side: it has backups, and some of its answers are bad.
type server struct {
	t      *testing.T
	asking asking

	mu       sync.Mutex
	listed   []backup
	contents map[string][]byte
	// faults are what is answered first, by name; "" is the list. cut breaks the
	// connection in the middle, other numbers are states of HTTP.
	faults map[string][]int
	asked  []string
	// next is what becomes of the backups after they were listed; nothing if nil.
	next func()
}

const cut = -1

// serve starts a server with mutual TLS.
func serve(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, contents: map[string][]byte{}, faults: map[string][]int{}}
	authority := newAuthority(t)
	listening := httptest.NewUnstartedServer(s)
	listening.TLS = &tls.Config{
		Certificates: []tls.Certificate{authority.issue(t)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.pool(),
	}
	listening.Config.ErrorLog = nil
	listening.StartTLS()
	t.Cleanup(listening.Close)
	s.asking = authority.files(t)
	s.asking.source = listening.URL + "/clusters/c1/backups"
	return s
}

func (s *server) add(b backup, text []byte) {
	b.Size = int64(len(text))
	s.listed, s.contents[b.Name] = append(s.listed, b), text
}

// addDeltas adds deltas with what the history says of them.
func (s *server) addDeltas(p *past, deltas ...backup) {
	for _, d := range deltas {
		s.add(d, p.delta(s.t, d.First, d.Last))
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := path.Base(request.URL.Path)
	if name == "backups" {
		name = ""
	}
	s.asked = append(s.asked, name)
	fault := 0
	if left := s.faults[name]; len(left) > 0 {
		fault, s.faults[name] = left[0], left[1:]
	}
	text, known := s.contents[name]
	if name == "" {
		text, _ = json.Marshal(map[string][]backup{"backups": s.listed})
		known = true
		if s.next != nil {
			s.next()
		}
	}
	switch {
	case fault > 0:
		http.Error(w, "as the test wants", fault)
	case !known:
		http.NotFound(w, request)
	case fault == cut:
		_, _ = w.Write(text[:len(text)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		_, _ = w.Write(text)
	}
}

// gotten says which backups were asked for.
func (s *server) gotten() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// authority issues the certificates of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate, key}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issue makes a certificate for both ends of a connection on this host.
func (a authority) issue(t *testing.T) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "end"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// files writes what a client needs.
func (a authority) files(t *testing.T) asking {
	t.Helper()
	dir, issued := t.TempDir(), a.issue(t)
	key, err := x509.MarshalECPrivateKey(issued.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		to := filepath.Join(dir, name)
		if err := os.WriteFile(to, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return to
	}
	return asking{
		cacert: write("ca.crt", "CERTIFICATE", a.certificate.Raw),
		cert:   write("tls.crt", "CERTIFICATE", issued.Certificate[0]),
		key:    write("tls.key", "EC PRIVATE KEY", key),
	}
}
