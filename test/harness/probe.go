package harness

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// probeEvery is how often a probe asks, and probeLimit how long it waits for an answer.
	probeEvery = 20 * time.Millisecond
	probeLimit = 2 * time.Second
)

// Probe asks an API server again and again, over a new connection each time, as a
// client does that has lost its own.
type Probe struct {
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	asked int
	// failed are the questions without a good answer, and gap the longest time
	// between the ends of two good ones that had such questions between them.
	failed int
	gap    time.Duration
	last   error
}

// StartProbe asks for /readyz through the gateway, by the cluster's name, until
// Stop is called. It is a stranger: health is all that it may see.
func (e *Env) StartProbe(gateway, fqdn string) *Probe {
	e.T.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &Probe{stop: cancel, done: make(chan struct{})}
	client := &http.Client{Timeout: probeLimit, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{ServerName: fqdn, InsecureSkipVerify: true}, //nolint:gosec // it sends nothing and believes nothing
	}}
	go func() {
		defer close(p.done)
		ticker := time.NewTicker(probeEvery)
		defer ticker.Stop()
		good, failing := time.Now(), false
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			err := ask(ctx, client, "https://"+gateway+"/readyz")
			if ctx.Err() != nil {
				return
			}
			p.note(err, &good, &failing)
		}
	}()
	e.T.Cleanup(func() {
		p.stop()
		<-p.done
	})
	return p
}

func (p *Probe) note(err error, good *time.Time, failing *bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	now := time.Now()
	if err != nil {
		p.failed, p.last, *failing = p.failed+1, err, true
		return
	}
	if *failing {
		p.gap = max(p.gap, now.Sub(*good))
	}
	*good, *failing = now, false
}

func ask(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", response.Status)
	}
	return nil
}

// Stop ends the probe and returns the longest gap in the answers, how many
// questions had none, of how many, and the last reason.
func (p *Probe) Stop() (gap time.Duration, failed, asked int, last error) {
	p.stop()
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gap, p.failed, p.asked, p.last
}

// AimGap is the longest time without an answer that an upgrade may bring.
const AimGap = 5 * time.Second

// Check ends the probe, logs what it saw and complains about a gap that is longer
// than most; with 0, about every question without an answer.
func (p *Probe) Check(e *Env, most time.Duration) {
	e.T.Helper()
	gap, failed, asked, last := p.Stop()
	e.T.Logf("longest gap %.2f s, %d of %d questions failed (%v)", gap.Seconds(), failed, asked, last)
	if gap > most || most == 0 && failed > 0 {
		e.T.Errorf("the API server was away for %s, at most %s is allowed: %d of %d questions failed: %v", gap, most, failed, asked, last)
	}
}
