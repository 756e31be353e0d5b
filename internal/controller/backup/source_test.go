package backup

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/internal/controlplane"
)

// stored are the Secrets of a cluster's control plane.
func stored(t *testing.T, id string) map[string]*corev1.Secret {
	t.Helper()
	now := time.Now()
	roots, err := controlplane.NewRoots(id, now)
	if err != nil {
		t.Fatal(err)
	}
	in := controlplane.Input{
		ID: id, ResourceGroup: "rg", ClusterName: "c", Owner: types.NamespacedName{Namespace: "s", Name: "rg.c"},
		FQDN: "c.hcp.berth.internal", APIServerAddress: "10.1.0.1", EtcdAddress: "10.1.0.2", ServiceCIDR: "10.0.0.0/16",
	}
	secrets := map[string]*corev1.Secret{controlplane.RootsSecret: roots.Secret(in)}
	plans, err := controlplane.Plans(in, roots)
	if err != nil {
		t.Fatal(err)
	}
	for _, plan := range plans {
		if secrets[plan.Name], err = plan.Issue(now); err != nil {
			t.Fatal(err)
		}
	}
	return secrets
}

func leaf(t *testing.T, secret *corev1.Secret, name string) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(secret.Data[name+".crt"], secret.Data[name+".key"])
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// A cluster's certificate for backups opens that cluster's, and nothing else does.
func TestSourceAllows(t *testing.T) {
	mine, other := stored(t, "mine"), stored(t, "other")
	s := vaults{reader: fake.NewClientBuilder().WithObjects([]client.Object{mine[controlplane.RootsSecret], other[controlplane.RootsSecret]}...).Build()}
	for why, c := range map[string]struct {
		shown   *x509.Certificate
		allowed bool
	}{
		"the cluster's own":         {leaf(t, mine[controlplane.BackupSecret], "client"), true},
		"another cluster's":         {leaf(t, other[controlplane.BackupSecret], "client"), false},
		"the API server's for etcd": {leaf(t, mine[controlplane.KubeSecret], "apiserver-etcd-client"), false},
		"etcd's own":                {leaf(t, mine[controlplane.EtcdSecret], "server"), false},
		"none":                      {nil, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/backups/mine", nil)
		r.TLS = &tls.ConnectionState{}
		if c.shown != nil {
			r.TLS.PeerCertificates = []*x509.Certificate{c.shown}
		}
		if err := s.allow(r, "mine"); (err == nil) != c.allowed {
			t.Errorf("%s: %v", why, err)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/backups/unknown", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf(t, mine[controlplane.BackupSecret], "client")}}
	if err := s.allow(r, "unknown"); err == nil {
		t.Error("a cluster that is not known is given")
	}
}
