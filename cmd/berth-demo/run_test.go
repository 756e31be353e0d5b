package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestServerAnswers(t *testing.T) {
	server := httptest.NewServer(newHandler("pod-7"))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	for _, c := range []struct {
		why, path string
		status    int
		contains  string
	}{
		{"the page names the pod, so that spreading over pods is seen", "/", 200, "hostname: pod-7"},
		{"headers show what a proxy added", "/", 200, "Accept-Encoding: gzip"},
		{"kubelet's probe", "/healthz", 200, "ok"},
		{"names resolve as seen from the pod", "/resolve?name=localhost", 200, "127.0.0.1"},
		{"a page is fetched as seen from the pod", "/get?url=" + url.QueryEscape(server.URL+"/hostname"), 200, "pod-7"},
		{"an open port", "/dial?address=" + address, 200, "connected to"},
		{"a failed probe is not the server's own failure", "/get?url=" + url.QueryEscape(server.URL+"/nothing"), 502, "404"},
		{"a probe without its parameter is the caller's fault", "/get", 400, "want ?url="},
		{"no other pages", "/nothing", 404, ""},
	} {
		response, err := http.Get(server.URL + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != c.status || !strings.Contains(string(body), c.contains) {
			t.Errorf("%s: GET %s = %d %q, want %d with %q", c.why, c.path, response.StatusCode, body, c.status, c.contains)
		}
	}
}

func TestCommands(t *testing.T) {
	server := httptest.NewServer(newHandler("pod-7"))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, c := range []struct {
		why      string
		args     []string
		ok       bool
		contains string
	}{
		{"get prints the body", []string{"get", server.URL + "/hostname"}, true, "pod-7\n"},
		{"a status that is no success fails", []string{"get", server.URL + "/nothing"}, false, ""},
		{"lookup prints addresses", []string{"lookup", "localhost"}, true, "127.0.0.1"},
		{"an open port", []string{"dial", address}, true, "connected"},
		{"a closed port", []string{"dial", strings.TrimPrefix(closed.URL, "http://")}, false, ""},
		{"no command", nil, false, ""},
		{"a command without its argument", []string{"get"}, false, ""},
		{"an unknown command", []string{"put", "x"}, false, ""},
	} {
		var out bytes.Buffer
		err := run(context.Background(), c.args, &out)
		if (err == nil) != c.ok || !strings.Contains(out.String(), c.contains) {
			t.Errorf("%s: run(%q) = %v, printed %q", c.why, c.args, err, out.String())
		}
	}
}

func TestServeAndSleepEndWithTheContext(t *testing.T) {
	t.Setenv("PORT", "0")
	for _, command := range []string{"serve", "sleep"} {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := run(ctx, []string{command}, io.Discard); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// watch counts what fails and goes on.
func TestWatchTellsEveryFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if asked == 4 {
			cancel()
		}
	}))
	defer server.Close()
	var out bytes.Buffer
	if err := watch(ctx, server.URL, &out); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Count(text, "FAILED") != 1 || !strings.Contains(text, "503") || !strings.Contains(text, "asked 4 failed 1") {
		t.Errorf("one of four requests failed: %s", text)
	}
}
