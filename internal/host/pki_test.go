package host

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/pki"
)

func TestCertificatesAreRenewedBelowTheSameAuthority(t *testing.T) {
	paths := newPaths(t)
	first, err := ensureBerthKeys(paths, now)
	if err != nil {
		t.Fatal(err)
	}
	later, err := ensureBerthKeys(paths, now.AddDate(6, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if string(first.CA) != string(later.CA) || string(first.Cert) == string(later.Cert) {
		t.Error("after six years the certificate must be new and the authority the same")
	}
	block, _ := pem.Decode(later.Cert)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if strings.EqualFold(leaf.Subject.CommonName, leaf.Issuer.CommonName) {
		t.Error("OpenSSL takes the certificate for self-signed")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(first.CA)
	for _, name := range []string{"127.0.0.1", "localhost", "berth.berth-system.svc", "berth-webhook.berth-system.svc", registrySvcIP} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now.AddDate(6, 0, 0)}); err != nil {
			t.Errorf("the certificate does not serve %s: %v", name, err)
		}
	}
}

// Below an authority that is older, the certificates of an up while the clock was ahead
// are not valid once it is back.
func TestCertificatesFollowAClockThatIsBack(t *testing.T) {
	k := keystore{t.TempDir(), now}
	authority, err := k.authority("ca", "x")
	if err != nil {
		t.Fatal(err)
	}
	request := pki.Request{CommonName: "y", Usage: pki.Client}
	issue := func(at time.Time) string {
		certificate, _, err := keystore{k.dir, at}.leaf("y", authority, request)
		if err != nil {
			t.Fatal(err)
		}
		return string(certificate)
	}
	ahead := issue(now.AddDate(1, 0, 0))
	if again := issue(now.AddDate(1, 0, 0).Add(-pki.ClockSkew)); again != ahead {
		t.Error("a clock that is as far behind as certificates allow for makes others")
	}
	back := issue(now)
	if back == ahead {
		t.Error("a certificate that is not valid for a year is kept")
	}
	if again := issue(now); again != back {
		t.Error("what was issued for the clock that is back is not kept")
	}
}

func TestHalfMadeAuthorityIsMadeAnew(t *testing.T) {
	k := keystore{t.TempDir(), now}
	if err := os.WriteFile(k.path("ca.key"), []byte("a crash left this"), 0o600); err != nil {
		t.Fatal(err)
	}
	authority, err := k.authority("ca", "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pki.LoadAuthority(authority.CertPEM, authority.KeyPEM); err != nil {
		t.Error(err)
	}
}
