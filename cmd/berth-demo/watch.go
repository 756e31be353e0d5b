package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

const (
	// watchEvery is the pace of requests, watchPatience how long one may take before it has
	// failed, and watchSlow before it is told of.
	watchEvery    = 50 * time.Millisecond
	watchPatience = 10 * time.Second
	watchSlow     = time.Second
	// watchTells is how often the count is printed.
	watchTells = 100
)

// watch asks for a page over and over, on a new connection each time, until ctx
// ends. It prints every failure and every slow answer with its time, and the count now
// and then.
func watch(ctx context.Context, url string, out io.Writer) error {
	ask := http.Client{Timeout: watchPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	failed := 0
	for asked := 1; ; asked++ {
		began := time.Now()
		err, now := askOnce(ctx, &ask, url), time.Now().UTC().Format(time.RFC3339Nano)
		switch took := time.Since(began); {
		case err != nil && ctx.Err() == nil:
			failed++
			fmt.Fprintf(out, "%s FAILED %v\n", now, err)
		case took > watchSlow:
			fmt.Fprintf(out, "%s SLOW %.1f s\n", now, took.Seconds())
		}
		if asked%watchTells == 0 {
			fmt.Fprintf(out, "asked %d failed %d\n", asked, failed)
		}
		select {
		case <-ctx.Done():
			fmt.Fprintf(out, "asked %d failed %d\n", asked, failed)
			return nil
		case <-ticker.C:
		}
	}
}

func askOnce(ctx context.Context, ask *http.Client, url string) error {
	// A timeout alone does not say whether the name, the connection or the answer was late.
	var phase atomic.Value
	phase.Store("before the name was looked up")
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:     func(httptrace.DNSStartInfo) { phase.Store("while the name was looked up") },
		ConnectStart: func(_, address string) { phase.Store("while connecting to " + address) },
		GotConn:      func(httptrace.GotConnInfo) { phase.Store("while waiting for the answer") },
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := ask.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", phase.Load(), err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", response.Status)
	}
	return nil
}
