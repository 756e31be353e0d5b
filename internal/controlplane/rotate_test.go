package controlplane

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"berth.dev/berth/api/v1beta1"
)

func TestRotateCertificates(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	in := testInput()
	roots, err := NewRoots(in.ID, now)
	if err != nil {
		t.Fatal(err)
	}
	stored := roots.Secret(in)
	stored.ResourceVersion = "7"
	next, err := RotateCertificates(stored, in.ID, 3, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{keyCACert, keyCAKey, keyEtcdCACert, keyEtcdCAKey, keyFrontProxyCACert, keyFrontProxyCAKey} {
		if bytes.Equal(stored.Data[key], next.Data[key]) {
			t.Errorf("%s is the old one", key)
		}
	}
	for _, key := range []string{keySAKey, keySAPublic, keyEncryption} {
		if !bytes.Equal(stored.Data[key], next.Data[key]) {
			t.Errorf("%s was lost: what the cluster stored could not be read any more", key)
		}
	}
	if Rotated(next) != (v1beta1.Rotations{Certificates: 3}) || next.ResourceVersion != "7" || Rotated(stored) != (v1beta1.Rotations{}) {
		t.Errorf("rotations %+v at resource version %s", Rotated(next), next.ResourceVersion)
	}
	renewed, err := LoadRoots(next)
	if err != nil {
		t.Fatal(err)
	}
	old, err := Plans(in, roots)
	if err != nil {
		t.Fatal(err)
	}
	plans, err := Plans(in, renewed)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(renewed.CA.CertPEM)
	for i, plan := range plans {
		issued, err := old[i].Issue(now)
		if err != nil {
			t.Fatal(err)
		}
		if plan.Current(issued, now) {
			t.Errorf("%s is kept though an authority above it was replaced", plan.Name)
		}
	}
	cert, _, err := roots.CA.Issue(clientOf(adminUser, mastersGroup), now)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(cert)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now.Add(time.Minute), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("an administrator's old certificate is still trusted")
	}
}

// The key before is trusted for a day, and only that one.
func TestRotateSigningKeys(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	roots, err := NewRoots("abcdefghijkl", now)
	if err != nil {
		t.Fatal(err)
	}
	first := roots.Secret(testInput())
	second, err := RotateSigningKeys(first, 1, now)
	if err != nil {
		t.Fatal(err)
	}
	third, err := RotateSigningKeys(second, 2, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	newest := newestKey(third.Data[keySAPublic])
	if want := append(bytes.Clone(newest), newestKey(second.Data[keySAPublic])...); !bytes.Equal(third.Data[keySAPublic], want) {
		t.Error("after two rotations others than the last two keys are trusted")
	}
	if bytes.Equal(third.Data[keySAKey], second.Data[keySAKey]) || Rotated(third).ServiceAccountKeys != 2 {
		t.Errorf("the key was not replaced: %+v", Rotated(third))
	}
	if early, err := RetireSigningKey(third, now.Add(oldKeyTrusted)); early != nil || err != nil {
		t.Errorf("the old key is retired before its time: %v", err)
	}
	last, err := RetireSigningKey(third, now.Add(time.Hour+oldKeyTrusted))
	if err != nil || last == nil || !bytes.Equal(last.Data[keySAPublic], newest) {
		t.Fatalf("a day later the old key is still trusted: %v", err)
	}
	if again, err := RetireSigningKey(last, now.Add(100*time.Hour)); again != nil || err != nil {
		t.Errorf("what was retired is retired again: %v", err)
	}
}
