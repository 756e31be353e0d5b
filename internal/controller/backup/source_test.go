package backup

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
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

// Whoever puts back is told how far the stores are known to reach: to the recovery point, or
// to the newest snapshot where that reaches further.
func TestVaultKnowsWhatWasStored(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	for why, c := range map[string]struct {
		status *v1beta1.BackupStatus
		id     string
		// kept is what is known of a deleted cluster that comes back; nothing is kept if zero.
		kept, want int64
	}{
		"nothing is stored":         {nil, "a", 0, 0},
		"deltas reach further":      {&v1beta1.BackupStatus{Revision: 7, RecoveryRevision: 9}, "a", 0, 9},
		"no delta was looked at":    {&v1beta1.BackupStatus{Revision: 7}, "a", 0, 7},
		"another of its name":       {&v1beta1.BackupStatus{Revision: 7}, "b", 11, 0},
		"it is recovered":           {nil, "a", 11, 11},
		"it was not looked at yet":  {&v1beta1.BackupStatus{}, "a", 11, 11},
		"it is backed up once more": {&v1beta1.BackupStatus{Revision: 17}, "a", 11, 17},
	} {
		cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "rg.c"}, Spec: v1beta1.ManagedClusterSpec{ID: c.id}}
		cluster.Status.Backup = c.status
		objects := []client.Object{
			cluster,
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "cp-a", Annotations: map[string]string{controlplane.AnnotationOwner: "s/rg.c"}}},
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SystemNamespace, Name: "backup-a"}, Data: map[string][]byte{keyName: []byte("key")}},
		}
		if c.kept != 0 {
			objects = append(objects, &v1beta1.DeletedCluster{
				ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "a"}, Spec: v1beta1.DeletedClusterSpec{RecoveryRevision: c.kept},
			})
		}
		reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
		vault, err := vaults{reader: reader, store: "file:///own"}.vault(t.Context(), "a")
		if err != nil || vault.Reached != c.want || vault.Key != "key" || len(vault.Stores) != 1 {
			t.Errorf("%s: %+v, %v", why, vault, err)
		}
	}
}

// The recovery point moves all the time; it is written when it has moved by some minutes.
func TestRecoveryPointIsWrittenNowAndThen(t *testing.T) {
	at := func(seconds int) *metav1.Time {
		return &metav1.Time{Time: time.Date(2026, 11, 26, 12, 0, seconds, 0, time.UTC)}
	}
	last := &v1beta1.BackupStatus{RecoveryPoint: at(0), RecoveryRevision: 7}
	for seconds, want := range map[int]bool{0: false, 299: false, 300: true} {
		next := &v1beta1.BackupStatus{RecoveryPoint: at(seconds), RecoveryRevision: 8}
		if !same(last, next) || moved(last, next, pointEvery*30*time.Second) != want {
			t.Errorf("after %d s: it is written: %t", seconds, !want)
		}
	}
}
