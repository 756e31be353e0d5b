package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	// maxLogins is how many logins wait to be told; more are in the machine's log alone.
	maxLogins = 32
	// betweenLogins keeps whoever logs in again and again from filling the cluster's etcd.
	betweenLogins = time.Second
	// loginAgain is how soon a login is told again that could not be told.
	loginAgain = 5 * time.Second
	// loginReason is the reason of the event.
	loginReason = "NodeLogin"
)

// loginLine is how dropbear tells that somebody is in: with its process, the time, and
// nothing before it that a client may choose.
var loginLine = regexp.MustCompile(`^\[\d+\] \w{3} [ \d]\d \d\d:\d\d:\d\d Pubkey auth succeeded for '([^']*)' with (\S+) key (\S+) from (\S+)$`)

// login is somebody who logged in to the machine over SSH (I1).
type login struct {
	user, kind, key, from string
	at                    time.Time
}

// loginOf reads a line of the SSH server.
func loginOf(line, administrator string, now time.Time) (login, bool) {
	said := loginLine.FindStringSubmatch(line)
	if said == nil || said[1] != administrator {
		return login{}, false
	}
	return login{user: said[1], kind: said[2], key: said[3], from: said[4], at: now}, true
}

// watchLogins tells of each login, as an event on the machine's Node, until stop is called.
// The machine's init does: whoever logs in cannot keep it from that.
func (m *machine) watchLogins() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	waiting := make(chan login, maxLogins)
	m.lines.Hear(sshService, func(line string) {
		if found, is := loginOf(line, m.config.AdminUsername, time.Now()); is {
			select {
			case waiting <- found:
			default: // the line itself is in the log
			}
		}
	})
	var running sync.WaitGroup
	running.Go(func() { m.tellLogins(ctx, waiting, loginAgain) })
	return func() {
		cancel()
		running.Wait()
	}
}

// tellLogins tells those that wait, one after the other, each until it is heard.
func (m *machine) tellLogins(ctx context.Context, waiting <-chan login, again time.Duration) {
	for {
		select {
		case <-ctx.Done():
			return
		case next := <-waiting:
			name := m.config.NodeName + "." + strings.ToLower(rand.Text())
			for wait := again; wait == again && ctx.Err() == nil; {
				err := reportLogin(ctx, m.config, name, next)
				if err == nil {
					wait = betweenLogins
				}
				select {
				case <-ctx.Done():
				case <-time.After(wait):
				}
			}
		}
	}
}

// loginEvent is a core/v1 Event.
type loginEvent struct {
	Metadata           map[string]string `json:"metadata"`
	InvolvedObject     map[string]string `json:"involvedObject"`
	Reason             string            `json:"reason"`
	Message            string            `json:"message"`
	Type               string            `json:"type"`
	Source             map[string]string `json:"source"`
	FirstTimestamp     string            `json:"firstTimestamp"`
	LastTimestamp      string            `json:"lastTimestamp"`
	Count              int               `json:"count"`
	ReportingComponent string            `json:"reportingComponent"`
	ReportingInstance  string            `json:"reportingInstance"`
}

// reportLogin writes the event, as the machine's kubelet. One that is there already was
// heard before.
func reportLogin(ctx context.Context, config Config, name string, of login) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	at := of.at.UTC().Format(time.RFC3339)
	body, err := json.Marshal(loginEvent{
		Metadata: map[string]string{"name": name, "namespace": "default"},
		// As the kubelet has it in its own events.
		InvolvedObject: map[string]string{"kind": "Node", "name": config.NodeName, "uid": config.NodeName},
		Reason:         loginReason, Type: "Warning", Count: 1, FirstTimestamp: at, LastTimestamp: at,
		Message: fmt.Sprintf("%s logged in over SSH from %s with the key %s %s (support policy I1)", of.user, of.from, of.kind, of.key),
		Source:  map[string]string{"component": "berth-node", "host": config.NodeName}, ReportingComponent: "berth-node", ReportingInstance: config.NodeName,
	})
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	server, transport, err := readKubeconfig(config.kubeconfig())
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/api/v1/namespaces/default/events", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("report a login: %w", err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusConflict {
		return fmt.Errorf("report a login: %s", response.Status)
	}
	return nil
}
