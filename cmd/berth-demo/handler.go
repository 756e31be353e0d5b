package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
)

// newHandler is the web server. A probe that fails is answered with 502 and why.
func newHandler(hostname string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { greet(w, r, hostname) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /hostname", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, hostname) })
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, _ *http.Request) {
		environment := os.Environ()
		slices.Sort(environment)
		fmt.Fprintln(w, strings.Join(environment, "\n"))
	})
	mux.HandleFunc("GET /resolve", probe("name", lookup))
	mux.HandleFunc("GET /get", probe("url", get))
	mux.HandleFunc("GET /dial", probe("address", dial))
	return mux
}

// greet shows who answers whom.
func greet(w http.ResponseWriter, r *http.Request, hostname string) {
	fmt.Fprintf(w, "Hello from Berth.\n\nhostname: %s\nclient:   %s\nhost:     %s\n", hostname, r.RemoteAddr, r.Host)
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(w, "%s: %s\n", name, strings.Join(r.Header[name], ", "))
	}
}

// probe runs one of the commands with the value of a query parameter.
func probe(parameter string, command func(context.Context, string, io.Writer) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value := r.URL.Query().Get(parameter)
		if value == "" {
			http.Error(w, "want ?"+parameter+"=", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		// The answer is kept until it is known whether it is one.
		var answer bytes.Buffer
		if err := command(ctx, value, &answer); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = answer.WriteTo(w)
	}
}
