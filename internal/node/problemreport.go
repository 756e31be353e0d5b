package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	// lookEvery is the time between two looks at the machine, disksEvery between two
	// writes to its disks, egressEvery between two attempts to reach the registry, a
	// fifth of it while it is not reached.
	lookEvery   = 5 * time.Second
	disksEvery  = time.Minute
	egressEvery = 5 * time.Minute
	egressWait  = 5 * time.Second
	// repeatEvery is how often conditions that have not changed are reported again.
	repeatEvery   = 5 * time.Minute
	reportTimeout = 5 * time.Second
)

// problemWatch looks at a machine and reports to its Node.
type problemWatch struct {
	machine  *machine
	services services
	disks    *diskWatch
	tasks    *taskWatch

	mu     sync.Mutex
	missed int
	egress error

	// since is when each condition took its present status, and said what was reported last.
	since    map[string]time.Time
	said     []finding
	saidTime time.Time
}

func newProblemWatch(m *machine, s services) *problemWatch {
	return &problemWatch{machine: m, services: s, disks: newDiskWatch(tryDisk), tasks: &taskWatch{proc: "/proc"}, since: map[string]time.Time{}}
}

// watchProblems reports the machine's problems until stop is called.
func (m *machine) watchProblems(s services) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	w := newProblemWatch(m, s)
	var running sync.WaitGroup
	running.Go(func() { every(ctx, lookEvery, func() time.Duration { w.look(ctx); return lookEvery }) })
	if m.config.Registry.Address != "" {
		running.Go(func() { every(ctx, lookEvery, func() time.Duration { return w.tryEgress(ctx) }) })
	}
	running.Go(func() {
		every(ctx, disksEvery, func() time.Duration { w.disks.tryAll(machineDisks()); return disksEvery })
	})
	running.Go(func() {
		every(ctx, tasksEvery, func() time.Duration { w.tasks.look(time.Now()); return tasksEvery })
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// every calls do after a time, and again after what it returns, until ctx is done.
func every(ctx context.Context, first time.Duration, do func() time.Duration) {
	for wait := first; ; wait = do() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (w *problemWatch) tryEgress(ctx context.Context) time.Duration {
	err := reach(ctx, w.machine.config.Registry.Address)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.egress = err; err == nil {
		w.missed = 0
		return egressEvery
	}
	w.missed++
	return egressEvery / 5
}

// reach connects to the host of a URL.
func reach(ctx context.Context, address string) error {
	target, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("read the registry's address: %w", err)
	}
	host := target.Host
	if target.Port() == "" {
		host = net.JoinHostPort(target.Hostname(), "443")
	}
	dialer := net.Dialer{Timeout: egressWait}
	connection, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	return connection.Close()
}

// look reports what is seen, if it is news or was not said for a while. What cannot be
// said now is said at the next look.
func (w *problemWatch) look(ctx context.Context) {
	now := time.Now()
	w.mu.Lock()
	seen := symptoms{Kubelet: w.services.kubelet.Condition(), Containerd: w.services.containerd.Condition(),
		Disk: w.disks.seen(now), Hung: w.tasks.hung(), Asks: w.machine.config.Registry.Address != "", Unreached: w.missed, Egress: w.egress}
	w.mu.Unlock()
	found := findings(seen, w.said, now)
	for _, f := range found {
		if last := indexOf(w.said, f.Type); last < 0 || w.said[last].Problem != f.Problem {
			w.since[f.Type] = now
		}
	}
	if slices.Equal(found, w.said) && now.Sub(w.saidTime) < repeatEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	if err := reportFindings(ctx, w.machine.config, found, w.since, now); err != nil {
		return
	}
	for _, f := range found {
		if !slices.Contains(w.said, f) && (f.Problem || len(w.said) > 0) {
			w.machine.lines.Printf("init", "%s is %t: %s", f.Type, f.Problem, f.Message)
		}
	}
	w.said, w.saidTime = found, now
}

// nodeConditions is a patch of a Node's status; the API server merges conditions by type.
type nodeConditions struct {
	Status struct {
		Conditions []nodeCondition `json:"conditions"`
	} `json:"status"`
}

type nodeCondition struct {
	Type               string `json:"type"`
	Status             string `json:"status"`
	Reason             string `json:"reason"`
	Message            string `json:"message"`
	LastHeartbeatTime  string `json:"lastHeartbeatTime"`
	LastTransitionTime string `json:"lastTransitionTime"`
}

// reportFindings writes conditions into the status of the machine's Node, as its kubelet.
func reportFindings(ctx context.Context, config Config, found []finding, since map[string]time.Time, now time.Time) error {
	patch := nodeConditions{}
	for _, f := range found {
		status := "False"
		if f.Problem {
			status = "True"
		}
		patch.Status.Conditions = append(patch.Status.Conditions, nodeCondition{
			Type: f.Type, Status: status, Reason: f.Reason, Message: f.Message,
			LastHeartbeatTime: now.UTC().Format(time.RFC3339), LastTransitionTime: since[f.Type].UTC().Format(time.RFC3339),
		})
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encode conditions: %w", err)
	}
	server, transport, err := readKubeconfig(config.kubeconfig())
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, nodeURL(server, config.NodeName)+"/status", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/strategic-merge-patch+json")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("report conditions: %w", err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("report conditions: %s", response.Status)
	}
	return nil
}
