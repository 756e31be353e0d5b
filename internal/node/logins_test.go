package node

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/node/supervise"
)

const someLogin = "[4711] Nov 26 12:00:00 Pubkey auth succeeded for 'azureuser' with ssh-ed25519 key SHA256:abc from 10.244.0.7:51234"

// A login is one only in dropbear's own words: a client chooses names and texts that are in others.
func TestLoginOf(t *testing.T) {
	for line, want := range map[string]bool{
		someLogin: true,
		strings.Replace(someLogin, "Nov 26", "Nov  6", 1):                                                     true,
		strings.Replace(someLogin, "azureuser", "root", 1):                                                    false,
		someLogin + ", extra auth required":                                                                   false,
		"[4711] Nov 26 12:00:00 Child connection from 10.244.0.7:51234":                                       false,
		"[4711] Nov 26 12:00:00 Login attempt for nonexistent user '" + someLogin + "' from 10.244.0.7:51234": false,
		"x" + someLogin: false,
	} {
		if _, is := loginOf(line, "azureuser", time.Now()); is != want {
			t.Errorf("%s: %v", line, is)
		}
	}
}

// Each login is an event on the Node, also where the API server is away for a while.
func TestLoginsAreTold(t *testing.T) {
	events, away := make(chan nodeEvent, 8), 2
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/namespaces/default/events" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		if away--; away >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var event nodeEvent
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			t.Error(err)
		}
		events <- event
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	var log bytes.Buffer
	m := &machine{config: Config{NodeName: "n1", AdminUsername: "azureuser", KubeconfigFile: kubeconfigOf(t, server)}, lines: supervise.NewLines(&log)}
	waiting := make(chan login, 2)
	m.lines.Hear(sshService, func(line string) {
		if found, is := loginOf(line, "azureuser", time.Unix(1790000000, 0)); is {
			waiting <- found
		}
	})
	m.lines.Copy("kubelet", strings.NewReader(someLogin+"\n"))
	m.lines.Copy(sshService, strings.NewReader("[4711] Nov 26 12:00:00 Child connection from 10.244.0.7:51234\n"+someLogin+"\n"))
	go m.tellLogins(t.Context(), waiting, time.Millisecond)
	select {
	case event := <-events:
		if event.InvolvedObject["kind"] != "Node" || event.InvolvedObject["name"] != "n1" || event.Reason != "NodeLogin" || !strings.HasPrefix(event.Metadata["name"], "n1.") ||
			!strings.Contains(event.Message, "azureuser logged in over SSH from 10.244.0.7:51234") || !strings.Contains(event.Message, "SHA256:abc") {
			t.Errorf("%+v", event)
		}
	case <-time.After(time.Minute):
		t.Fatal("nobody is told")
	}
	if len(waiting) != 0 || len(events) != 0 {
		t.Errorf("another source's line counts: %d wait, %d told", len(waiting), len(events))
	}
	if !strings.Contains(log.String(), "ssh        | [4711]") {
		t.Errorf("the machine's log is %q", log.String())
	}
}
