package tenant

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secrets is a management cluster with one Secret, or none.
type secrets struct {
	client.Reader
	kubeconfig []byte
	reads      int
}

func (s *secrets) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	s.reads++
	secret, ok := object.(*corev1.Secret)
	if !ok || s.kubeconfig == nil || key != (client.ObjectKey{Namespace: "cp-id", Name: KubeconfigSecret}) {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	secret.Data = map[string][]byte{KubeconfigKey: s.kubeconfig}
	return nil
}

func kubeconfig(t *testing.T, server string) []byte {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: server, InsecureSkipTLSVerify: true}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "secret"}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	text, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestClientsFollowTheKubeconfig(t *testing.T) {
	reader := &secrets{}
	clients := NewClients(reader)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clients.now = func() time.Time { return now }
	if _, err := clients.Client(t.Context(), "id"); !errors.Is(err, ErrNoControlPlane) {
		t.Fatalf("without a kubeconfig: %v", err)
	}
	reader.kubeconfig = kubeconfig(t, "https://192.0.2.1:6443")
	first, err := clients.Client(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	reads := reader.reads
	now = now.Add(59 * time.Second)
	if again, err := clients.Client(t.Context(), "id"); err != nil || again != first || reader.reads != reads {
		t.Errorf("within a minute the client is the same and the Secret is not read: %v, %d reads", err, reader.reads-reads)
	}
	now = now.Add(2 * time.Second)
	if again, err := clients.Client(t.Context(), "id"); err != nil || again != first || reader.reads != reads+1 {
		t.Errorf("later the Secret is read, and the client stays while it has not changed: %v", err)
	}
	now = now.Add(2 * time.Minute)
	reader.kubeconfig = kubeconfig(t, "https://192.0.2.2:6443")
	if config, err := clients.Config(t.Context(), "id"); err != nil || config.Host != "https://192.0.2.2:6443" {
		t.Errorf("rotated credentials are picked up: %+v, %v", config, err)
	}
	clients.Drop("id")
	reader.kubeconfig = nil
	if _, err := clients.Client(t.Context(), "id"); !errors.Is(err, ErrNoControlPlane) {
		t.Errorf("a cluster that is gone: %v", err)
	}
}

// A refused eviction is the caller's to try again: the client must not wait.
func TestRefusedEvictionComesBackAtOnce(t *testing.T) {
	var evictions, lists atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodPost:
			evictions.Add(1)
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"TooManyRequests","code":429}`))
		case lists.Add(1) == 1 && r.URL.Path == "/api":
			_, _ = w.Write([]byte(`{"kind":"APIVersions","versions":["v1"]}`))
		default:
			_, _ = w.Write([]byte(`{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","namespaced":true,"kind":"Pod"},{"name":"pods/eviction","namespaced":true,"kind":"Eviction"}]}`))
		}
	}))
	defer server.Close()
	c, err := NewClients(&secrets{kubeconfig: kubeconfig(t, server.URL)}).Client(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}
	err = c.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{})
	if !apierrors.IsTooManyRequests(err) || evictions.Load() != 1 || ctx.Err() != nil {
		t.Errorf("%v after %d evictions; want one refusal, at once", err, evictions.Load())
	}
}
