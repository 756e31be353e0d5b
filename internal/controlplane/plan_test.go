package controlplane

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"berth.dev/berth/internal/pki"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func planNamed(t *testing.T, in Input, roots *Roots, name string) Plan {
	t.Helper()
	plans, err := Plans(in, roots)
	if err != nil {
		t.Fatal(err)
	}
	for _, plan := range plans {
		if plan.Name == name {
			return plan
		}
	}
	t.Fatalf("no plan %s", name)
	return Plan{}
}

func newRoots(t *testing.T) *Roots {
	t.Helper()
	roots, err := NewRoots("abcdefghijkl", noon)
	if err != nil {
		t.Fatal(err)
	}
	return roots
}

// Certificates are issued again exactly when what they were made from changed.
func TestPlanCurrent(t *testing.T) {
	roots := newRoots(t)
	in := testInput()
	stored, err := planNamed(t, in, roots, KubeSecret).Issue(noon)
	if err != nil {
		t.Fatal(err)
	}
	moved := in
	moved.APIServerAddress = "100.65.0.99"
	for _, c := range []struct {
		why    string
		in     Input
		roots  *Roots
		stored *corev1.Secret
		now    time.Time
		want   bool
	}{
		{"as issued", in, roots, stored, noon, true},
		{"there is none", in, roots, nil, noon, false},
		{"the Service got another address", moved, roots, stored, noon, false},
		{"other roots", in, newRoots(t), stored, noon, false},
		{"well before its end", in, roots, stored, noon.Add(leafLife - renewBefore - time.Hour), true},
		{"90 days before its end", in, roots, stored, noon.Add(leafLife - renewBefore), false},
		{"within what certificates allow for clocks", in, roots, stored, noon.Add(-pki.ClockSkew), true},
		{"a clock that was ahead when it was issued is back", in, roots, stored, noon.Add(-pki.ClockSkew - time.Second), false},
		{"a clock that was a year ahead is back", in, roots, stored, noon.AddDate(-1, 0, 0), false},
		{"made by hand", in, roots, &corev1.Secret{}, noon, false},
	} {
		if got := planNamed(t, c.in, c.roots, KubeSecret).Current(c.stored, c.now); got != c.want {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

func TestRootsSurviveStorage(t *testing.T) {
	roots, in := newRoots(t), testInput()
	loaded, err := LoadRoots(roots.Secret(in))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(loaded.Secret(in).Data[keyEncryption], roots.EncryptionConfig) || !bytes.Equal(loaded.CA.KeyPEM, roots.CA.KeyPEM) {
		t.Error("the roots that were read back are others")
	}
	if end := loaded.CA.Cert.NotAfter; end.Before(noon.AddDate(29, 11, 0)) {
		t.Errorf("the authority ends %s: not 30 years", end)
	}
	for name := range roots.Secret(in).Data {
		damaged := roots.Secret(in)
		delete(damaged.Data, name)
		if _, err := LoadRoots(damaged); err == nil {
			t.Errorf("roots without %s are accepted", name)
		}
	}
	mixed := roots.Secret(in)
	mixed.Data[keyCAKey] = newRoots(t).CA.KeyPEM
	if _, err := LoadRoots(mixed); err == nil {
		t.Error("a key that is not the certificate's is accepted")
	}
}

// The API server must be believed under every name that it is dialled by, and
// only what the etcd authority signed may talk to etcd.
func TestCertificates(t *testing.T) {
	roots, in := newRoots(t), testInput()
	kube, err := planNamed(t, in, roots, KubeSecret).Issue(noon)
	if err != nil {
		t.Fatal(err)
	}
	server := certificate(t, kube.Data["apiserver.crt"])
	for _, name := range []string{in.FQDN, in.APIServerAddress, "127.0.0.1", "10.0.0.1", "kubernetes.default.svc"} {
		if err := server.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	client := certificate(t, kube.Data["apiserver-etcd-client.crt"])
	if err := client.CheckSignatureFrom(roots.EtcdCA.Cert); err != nil {
		t.Error(err)
	}
	if err := server.CheckSignatureFrom(roots.EtcdCA.Cert); err == nil {
		t.Error("etcd would trust the cluster's authority")
	}
	if len(certificate(t, kube.Data["kubelet-client.crt"]).Subject.Organization) != 0 {
		t.Error("the API server's kubelet client has a group, it needs none")
	}
}

func certificate(t *testing.T, raw []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(raw)
	if block == nil {
		t.Fatal("no PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestKubeconfigs(t *testing.T) {
	secrets := issueAll(t, testInput())
	for _, c := range []struct {
		why, secret, server, tlsName, user, context string
	}{
		{"az renames the context of a user whose name starts with clusterAdmin", AdminKubeconfig, "https://127.0.0.1:6443", "demo-abcdefgh.hcp.westeurope.berth.internal", "clusterAdmin_Group_Demo", "Demo"},
		{"the user's", UserKubeconfig, "https://127.0.0.1:6443", "demo-abcdefgh.hcp.westeurope.berth.internal", "clusterUser_Group_Demo", "Demo"},
		{"Berth's own goes past the gateway", ControllerKubeconfig, "https://100.65.0.20:6443", "", PlatformUser, "cluster"},
	} {
		config, err := clientcmd.Load(secrets[c.secret].Data[KubeconfigKey])
		if err != nil {
			t.Fatal(err)
		}
		context := config.Contexts[config.CurrentContext]
		cluster := config.Clusters[context.Cluster]
		if config.CurrentContext != c.context || context.AuthInfo != c.user || cluster.Server != c.server || cluster.TLSServerName != c.tlsName {
			t.Errorf("%s: context %s, user %s, server %s, name %s", c.why, config.CurrentContext, context.AuthInfo, cluster.Server, cluster.TLSServerName)
		}
		if len(config.AuthInfos[c.user].ClientKeyData) == 0 || len(cluster.CertificateAuthorityData) == 0 {
			t.Errorf("%s: no key or no authority", c.why)
		}
	}
}

func TestRevision(t *testing.T) {
	a := &corev1.Secret{Data: map[string][]byte{"k": []byte("1"), "l": []byte("2")}}
	b := &corev1.Secret{Data: map[string][]byte{"l": []byte("2"), "k": []byte("1")}}
	c := &corev1.Secret{Data: map[string][]byte{"k": []byte("1"), "l": []byte("3")}}
	old, rotated := &Roots{ServiceAccountPublic: []byte("1")}, &Roots{ServiceAccountPublic: []byte("2")}
	if Revision(old, a) != Revision(old, b) || Revision(old, a) == Revision(old, c) || Revision(old, a) == Revision(rotated, a) {
		t.Error("the revision does not follow the content")
	}
}
