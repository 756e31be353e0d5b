package cli

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

func TestWaitConditions(t *testing.T) {
	gone := &azcore.ResponseError{StatusCode: http.StatusNotFound}
	for _, c := range []struct {
		why     string
		options waitOptions
		state   string
		err     error
		done    bool
		fails   bool
	}{
		{"created means Succeeded", waitOptions{created: true}, "Succeeded", nil, true, false},
		{"not while it is being created", waitOptions{created: true}, "Creating", nil, false, false},
		{"not before it is there", waitOptions{created: true}, "", gone, false, false},
		{"never once it has failed", waitOptions{created: true}, "Failed", nil, false, true},
		{"nor when it was aborted", waitOptions{updated: true}, "Canceled", nil, false, true},
		{"exists means in any state", waitOptions{exists: true}, "Failed", nil, true, false},
		{"deleted means gone", waitOptions{deleted: true}, "", gone, true, false},
		{"a failed cluster can still be deleted", waitOptions{deleted: true}, "Failed", nil, false, false},
		{"other errors end the wait", waitOptions{deleted: true}, "", errors.New("no"), false, true},
	} {
		done, err := c.options.met(c.state, c.err)
		if done != c.done || (err != nil) != c.fails {
			t.Errorf("%s: got %v, %v", c.why, done, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": defaultPoll, "x": defaultPoll, "-1": defaultPoll, "0": 100 * time.Millisecond, "3": 3 * time.Second,
	} {
		response := &http.Response{Header: http.Header{"Retry-After": {header}}}
		if got := retryAfter(response); got != want {
			t.Errorf("Retry-After %q: wait %v, want %v", header, got, want)
		}
	}
}

func TestProgressOnATerminal(t *testing.T) {
	var screen bytes.Buffer
	p := &progress{out: &screen, title: "Creating cluster demo", live: true, begun: time.Now(), stop: make(chan struct{})}
	p.done.Go(p.animate)
	p.set("Creating")
	p.end("Succeeded")
	p.close()
	lines := strings.Split(screen.String(), "\n")
	last := lines[0][strings.LastIndex(lines[0], "\x1b[K")+len("\x1b[K"):]
	if len(lines) != 2 || last != "Creating cluster demo: Succeeded (0s)" {
		t.Errorf("what stays on the screen is %q", last)
	}
}
