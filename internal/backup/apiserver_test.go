package backup_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"berth.dev/berth/internal/testenv"
)

// An API server that ran all through a recovery of its etcd's data answers soon after etcd
// does, and knows what is back and nothing else, from whatever it is asked for.
func TestAPIServerOutlivesRecovery(t *testing.T) {
	b := newBed(t, 1)
	b.record()
	api := b.startAPIServer()
	maps := api.CoreV1().ConfigMaps("default")
	create := func(name string) *corev1.ConfigMap {
		t.Helper()
		made, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	kept := create("kept")
	b.stored(b.put("/mark", "1"))
	b.stopRecording()
	// What no backup has: an object, a change and a deletion.
	create("lost")
	kept.Data = map[string]string{"change": "lost"}
	changed, err := maps.Update(t.Context(), kept, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	watched, err := maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: changed.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Stop()
	b.stopEtcd()
	if err := os.RemoveAll(b.data); err != nil {
		t.Fatal(err)
	}
	if said := b.recover("r1"); !said.Restored {
		t.Fatalf("%+v", said)
	}
	began := time.Now()
	b.startEtcd()
	etcd := time.Since(began)
	b.eventually("the API server answers", func() error {
		return api.Discovery().RESTClient().Get().AbsPath("/readyz").Do(t.Context()).Error()
	})
	ready := time.Since(began)
	t.Logf("etcd answers after %.1f s, /readyz %.1f s after it", etcd.Seconds(), (ready - etcd).Seconds())
	// The next read that must be true is.
	list, err := maps.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range list.Items {
		if found.Name == "lost" || found.Name == "kept" && len(found.Data) > 0 {
			t.Errorf("a list has %s with %v", found.Name, found.Data)
		}
	}
	if _, err := maps.Get(t.Context(), "lost", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what was lost is there: %v", err)
	}
	if _, err := maps.Update(t.Context(), changed, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a change of what was lost: %v", err)
	}
	again, err := maps.Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil || len(again.Data) > 0 {
		t.Errorf("%v, %v", again, err)
	}
	again.Data = map[string]string{"change": "new"}
	if _, err := maps.Update(t.Context(), again, metav1.UpdateOptions{}); err != nil {
		t.Errorf("a change of what is back: %v", err)
	}
	b.eventually("the cache has what is back and nothing else", func() error {
		list, err := maps.List(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return err
		}
		for _, found := range list.Items {
			if found.Name == "lost" {
				return errors.New("it has what was lost")
			}
		}
		return nil
	})
	// Whoever watched is told to list anew, and not left with what it has.
	for deadline := time.After(20 * time.Second); ; {
		select {
		case _, open := <-watched.ResultChan():
			if !open {
				return
			}
		case <-deadline:
			t.Fatal("a watch of the lost history goes on")
		}
	}
}

// startAPIServer starts a real one on the bed's etcd.
func (b *bed) startAPIServer() kubernetes.Interface {
	b.t.Helper()
	dir := b.t.TempDir()
	ports, err := testenv.FreePorts(1)
	if err != nil {
		b.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		b.t.Fatal(err)
	}
	signing, tokens := filepath.Join(dir, "sa.key"), filepath.Join(dir, "tokens")
	for path, text := range map[string][]byte{
		signing: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), tokens: []byte("token,admin,admin,system:masters\n"),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	log := filepath.Join(dir, "apiserver.log")
	process, err := testenv.StartProcess(log, nil, testenv.Program(b.t, testenv.Kube), "kube-apiserver", "--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", ports[0]), "--advertise-address=192.0.2.1", "--cert-dir="+dir, "--etcd-servers="+b.client,
		"--service-cluster-ip-range=100.65.0.0/16", "--authorization-mode=RBAC", "--token-auth-file="+tokens,
		"--disable-admission-plugins=ServiceAccount", "--service-account-issuer=https://test",
		"--service-account-key-file="+signing, "--service-account-signing-key-file="+signing)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(process.Kill)
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: fmt.Sprintf("https://127.0.0.1:%d", ports[0]), BearerToken: "token", TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.eventually("the API server answers", func() error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(b.t.Context()).Error()
	})
	b.eventually("there is a namespace", func() error {
		_, err := client.CoreV1().Namespaces().Get(b.t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return client
}
