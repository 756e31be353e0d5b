package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// nodeNews is what is told of a machine as an event on its Node.
type nodeNews struct {
	at      time.Time
	reason  string
	message string
	warning bool
}

// nodeEvent is a core/v1 Event.
type nodeEvent struct {
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

// reportEvent writes the event of that name, as the machine's kubelet. One that is there
// already was heard before.
func reportEvent(ctx context.Context, config Config, name string, news nodeNews) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	at, kind := news.at.UTC().Format(time.RFC3339), "Normal"
	if news.warning {
		kind = "Warning"
	}
	body, err := json.Marshal(nodeEvent{
		Metadata: map[string]string{"name": name, "namespace": "default"},
		// As the kubelet has it in its own events.
		InvolvedObject: map[string]string{"kind": "Node", "name": config.NodeName, "uid": config.NodeName},
		Reason:         news.reason, Type: kind, Count: 1, FirstTimestamp: at, LastTimestamp: at, Message: news.message,
		Source: map[string]string{"component": "berth-node", "host": config.NodeName}, ReportingComponent: "berth-node", ReportingInstance: config.NodeName,
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
		return fmt.Errorf("report the event %s: %w", news.reason, err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusConflict {
		return fmt.Errorf("report the event %s: %s", news.reason, response.Status)
	}
	return nil
}
