package network

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// An agent is started again where its loop hangs (E3), not for what it waits for: no API server answers here.
func TestOnlyAHungAgentIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(Options{NodeName: "node-1"}, nil, slog.New(slog.DiscardHandler))
		handler := answers(a.healthy, a.alive)
		expect := func(why, path string, want int) {
			t.Helper()
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
			if answer.Code != want {
				t.Errorf("%s: GET %s: %d %s", why, path, answer.Code, answer.Body)
			}
		}
		expect("before the first turn", livePath, 200)
		var hangs atomic.Bool
		hung := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go a.loop.Run(ctx, a.log, func(ctx context.Context, full bool) error {
			if hangs.Load() {
				<-hung
			}
			return a.sync(ctx, full)
		})
		for range 60 {
			<-time.After(time.Minute)
			expect("no API server", livePath, 200)
			expect("no API server", healthPath, 503)
		}
		<-time.After(time.Second) // the check of this minute is over
		hangs.Store(true)
		a.loop.Notify()
		<-time.After(stalled - time.Second)
		expect("a long pass", livePath, 200)
		<-time.After(time.Minute)
		expect("a pass that hangs", livePath, 503)
		close(hung)
		<-time.After(time.Second)
		expect("it goes on", livePath, 200)
		cancel()
		synctest.Wait()
	})
}
