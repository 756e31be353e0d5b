package tenant

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// Who asks for the version wants that of the server that the address leads to now,
// not of the one that a kept connection leads to.
func TestVersionDialsAnew(t *testing.T) {
	var dialled atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			_, _ = w.Write([]byte(`{"gitVersion": "v1.37.2"}`))
		}
	}))
	server.Config.ConnState = countNew(&dialled)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	clients := NewClients(&secrets{kubeconfig: kubeconfig(t, server.URL)})
	for i := range int32(3) {
		if err := clients.Ready(t.Context(), "id"); err != nil {
			t.Fatal(err)
		}
		if version, err := clients.Version(t.Context(), "id"); err != nil || version != "1.37.2" {
			t.Fatalf("version %q, %v", version, err)
		}
		// One connection is kept for everything else.
		if got := dialled.Load(); got != 2+i {
			t.Errorf("%d connections after asking %d times", got, i+1)
		}
	}
}

// Several API servers are asked one by one, and each has to prove that it is one of
// the cluster's, whatever address it has.
func TestGetFromOneServer(t *testing.T) {
	var servers []*httptest.Server
	for _, name := range []string{"first", "second"} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(name + r.URL.Path)) }))
		server.EnableHTTP2 = true
		server.StartTLS()
		defer server.Close()
		servers = append(servers, server)
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: servers[0].Certificate().Raw})
	for _, c := range []struct {
		why, host string
		ok        bool
	}{
		{"the cluster's name is in the certificate", "https://example.com:6443", true},
		{"it is not", "https://other.test:6443", false},
	} {
		config, err := clientcmd.Load(kubeconfig(t, c.host))
		if err != nil {
			t.Fatal(err)
		}
		config.Clusters["c"].InsecureSkipTLSVerify, config.Clusters["c"].CertificateAuthorityData = false, authority
		text, err := clientcmd.Write(*config)
		if err != nil {
			t.Fatal(err)
		}
		clients := NewClients(&secrets{kubeconfig: text})
		for i, want := range []string{"first/metrics", "second/metrics", "first/metrics"} {
			response, err := clients.GetFrom(t.Context(), "id", servers[i%2].Listener.Addr().String(), "/metrics")
			if err != nil {
				if c.ok {
					t.Errorf("%s: %v", c.why, err)
				}
				continue
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if !c.ok || err != nil || string(body) != want {
				t.Errorf("%s: %q (%v), want %q", c.why, body, err, want)
			}
		}
	}
}

func countNew(count *atomic.Int32) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			count.Add(1)
		}
	}
}
