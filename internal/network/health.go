package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// answers are those to GET /healthz, whether the node's network is right, and GET /livez, whether the agent lives: 200, or
// 503 and the error.
func answers(healthy, alive func() error) http.Handler {
	mux := http.NewServeMux()
	for path, check := range map[string]func() error{healthPath: healthy, livePath: alive} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			if err := check(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, "ok")
		})
	}
	return mux
}

// serveHealth answers the kubelet's probes on addr until the context ends.
func serveHealth(ctx context.Context, addr string, handler http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for health probes: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve health probes: %w", err)
	}
	return nil
}
