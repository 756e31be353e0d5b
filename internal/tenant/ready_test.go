package tenant

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
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

func countNew(count *atomic.Int32) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			count.Add(1)
		}
	}
}
