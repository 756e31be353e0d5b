package gateway

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// BenchmarkRatio compares the gateway with a direct connection: a new TLS connection with one small request, and a
// stream of 32 MiB. It reports through/direct; 1 would be a gateway that costs nothing.
func BenchmarkRatio(b *testing.B) {
	server := tenant(b, "one")
	bulk := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.Copy(w, io.LimitReader(pattern{}, 32<<20))
	}))
	defer bulk.Close()
	for _, c := range []struct {
		name    string
		backend net.Addr
	}{
		{"connect", server.Listener.Addr()},
		{"bulk", bulk.Listener.Addr()},
	} {
		b.Run(c.name, func(b *testing.B) {
			routes := &table{}
			routes.set("one.example", Route{Backend: c.backend.String()})
			through := start(b, Config{Routes: routes.lookup}).client("one.example")
			direct := (&running{address: c.backend.String()}).client("one.example")
			var took [2]time.Duration
			for b.Loop() {
				for i, client := range []*http.Client{direct, through} {
					begin := time.Now()
					response, err := client.Get("https://one.example/")
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, response.Body)
					response.Body.Close()
					took[i] += time.Since(begin)
				}
			}
			b.ReportMetric(float64(took[1])/float64(took[0]), "through/direct")
		})
	}
}
