package backup

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Hold takes a turn, and returns what ends it.
func (t *Turns) Hold(test testing.TB) func() {
	test.Helper()
	held, err := t.take(test.Context())
	if err != nil {
		test.Fatal(err)
	}
	return held.end
}

// Compared is when what etcd holds was compared last with what was recorded.
func (r *Recorder) Compared() time.Time {
	r.suspicion.mu.Lock()
	defer r.suspicion.mu.Unlock()
	return r.suspicion.tried
}

// Cheaply is how recorders read an etcd.
var Cheaply = cheaply

// PrintAt is what an etcd tells that was written at a revision, as a hash; zero if nothing was.
func PrintAt(ctx context.Context, client *clientv3.Client, revision int64) (uint64, error) {
	found, err := landmarkAt(ctx, client, revision)
	return found.print, err
}

// Past is what an etcd tells of its past from its first revision on, as hashes. What is done after
// an event is told of counts the events.
func Past(ctx context.Context, client *clientv3.Client, last int64, after func(told int)) (map[int64]uint64, error) {
	held, told := prints{}, 0
	err := past(ctx, client, span{2, last}, func(event *clientv3.Event) {
		held.add(event)
		told++
		after(told)
	})
	return held, err
}

// HangingStore is the URL of a store that lists nothing and never answers to what it is
// given, and counts what it is given of a kind.
func HangingStore(t *testing.T, kind string, given *atomic.Int64) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "nobody")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "none")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `<?xml version="1.0"?><ListBucketResult><Name>backups</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>`)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.Contains(r.URL.Path, "/"+kind+"-") {
			given.Add(1)
		}
		<-r.Context().Done()
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return "s3://backups?region=us-east-1&use_path_style=true&disable_https=true&endpoint=" + server.URL
}
