package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

var now = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func TestIssuedCertificateIsTrustedByItsAuthorityOnly(t *testing.T) {
	ours := mustAuthority(t, "ours")
	other := mustAuthority(t, "other")
	certPEM, keyPEM, err := ours.Issue(Request{
		CommonName: "kube-apiserver", DNSNames: []string{"kubernetes"}, IPs: []net.IP{net.IPv4(10, 0, 0, 1)},
		Usage: Server, Life: time.Hour,
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatalf("certificate and key do not pair: %v", err)
	}
	block, _ := pem.Decode(certPEM)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		trusted *Authority
		dns     string
		usage   x509.ExtKeyUsage
		valid   bool
	}{
		{"own authority", ours, "kubernetes", x509.ExtKeyUsageServerAuth, true},
		{"another tenant's authority", other, "kubernetes", x509.ExtKeyUsageServerAuth, false},
		{"a name it was not issued for", ours, "etcd", x509.ExtKeyUsageServerAuth, false},
		{"a use it was not issued for", ours, "kubernetes", x509.ExtKeyUsageClientAuth, false},
	} {
		roots := x509.NewCertPool()
		roots.AddCert(c.trusted.Cert)
		_, err := leaf.Verify(x509.VerifyOptions{
			Roots: roots, DNSName: c.dns, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{c.usage},
		})
		if (err == nil) != c.valid {
			t.Errorf("%s: valid = %v, want %v (%v)", c.name, err == nil, c.valid, err)
		}
	}
}

func TestLeafNeverOutlivesItsAuthority(t *testing.T) {
	authority, err := NewAuthority("short", time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, _, err := authority.Issue(Request{CommonName: "x", Usage: Client, Life: 24 * time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(certPEM)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.NotAfter.After(authority.Cert.NotAfter) {
		t.Errorf("leaf ends %s, after its authority at %s", leaf.NotAfter, authority.Cert.NotAfter)
	}
}

func TestLoadAuthorityRefusesAForeignKey(t *testing.T) {
	a, b := mustAuthority(t, "a"), mustAuthority(t, "b")
	if _, err := LoadAuthority(a.CertPEM, a.KeyPEM); err != nil {
		t.Errorf("own key: %v", err)
	}
	if _, err := LoadAuthority(a.CertPEM, b.KeyPEM); err == nil {
		t.Error("a key of another authority was taken")
	}
	if _, err := LoadAuthority([]byte("nonsense"), a.KeyPEM); err == nil {
		t.Error("a certificate that is not PEM was taken")
	}
}

func TestKubeconfigIsReadable(t *testing.T) {
	raw, err := Kubeconfig(KubeconfigRequest{
		Cluster: "c1", User: "clusterAdmin_rg_c1", Server: "https://127.0.0.1:6443", TLSServerName: "c1.example", CA: []byte("ca"), Token: "t",
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(raw)
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "c1" || config.Clusters["c1"].TLSServerName != "c1.example" || config.Contexts["c1"].AuthInfo != "clusterAdmin_rg_c1" {
		t.Errorf("kubeconfig lost its content: %s", raw)
	}
}

func mustAuthority(t *testing.T, name string) *Authority {
	t.Helper()
	authority, err := NewAuthority(name, CALife, now)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}
