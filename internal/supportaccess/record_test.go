package supportaccess

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1beta1"
)

// A request that comes onto a page while its write fails was not recorded either, and
// does not go on; the next one has another page.
func TestRequestDuringAFailingWrite(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose)
	writing, fail := make(chan struct{}, 1), make(chan struct{})
	failing := true
	b.front = New(Config{Reader: b.client, Backends: b, Client: interceptor.NewClient(b.client, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if failing {
				failing = false
				writing <- struct{}{}
				<-fail
				return errors.New("etcdserver: request is too large")
			}
			return c.Create(ctx, o, opts...)
		},
	})})
	b.server.Config.Handler = b.front
	statuses := make(chan int, 2)
	ask := func() { status, _ := b.request("GET", "/api/v1/pods", nil); statuses <- status }
	go ask()
	<-writing
	go ask()
	book := b.front.records.book(b.access())
	b.until("the second request is on the page that is written", func() bool {
		book.mu.Lock()
		defer book.mu.Unlock()
		return book.count == 2
	})
	close(fail)
	for range 2 {
		if status := <-statuses; status != http.StatusServiceUnavailable {
			t.Errorf("a request on a page that could not be written: %d", status)
		}
	}
	if len(b.seen) > 0 || len(b.record()) > 0 {
		t.Errorf("%d requests went on, %d are recorded", len(b.seen), len(b.record()))
	}
	if ask(); <-statuses != http.StatusOK || len(b.seen) != 1 || len(b.record()) != 1 {
		t.Errorf("after that %d went on, %d are recorded", len(b.seen), len(b.record()))
	}
}

// Whatever a client sends, what is kept of it is short: a full page can be stored.
func TestEntriesAreShort(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose)
	long := strings.Repeat("b", 300_000)
	for _, path := range []string{
		"/api/v1/" + long, "/api/v1/namespaces/" + long + "/pods", "/api/v1/namespaces/a/pods/" + long, "/api/v1/pods/a/" + long,
		"/apis/" + long + "/v1/pods", "/" + long, "/api/v1/pods?a=" + long, "/%20" + long,
	} {
		_, text := b.request("GET", path, http.Header{"User-Agent": {strings.Repeat("<", 3000)}})
		if len(text) > 2048 {
			t.Errorf("%.20s…: the answer has %d bytes", path, len(text))
		}
	}
	record := b.record()
	if len(record) != 8 {
		t.Fatalf("%d requests are recorded", len(record))
	}
	const most = 3 << 19 / 2 / pageSize // half of what etcd takes
	for i := range record {
		if raw, err := json.Marshal(record[i]); err != nil || len(raw) > most {
			t.Errorf("%.20s… has %d bytes in the record, %v", record[i].URI, len(raw), err)
		}
	}
}

// A book that was dropped too early, as a cache that lags may have it, is followed by
// another one, whose pages are its own.
func TestDroppedBooks(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose)
	for range 3 {
		if status, text := b.request("GET", "/api/v1/pods", nil); status != http.StatusOK {
			t.Errorf("%d %s", status, text)
		}
		b.front.end(client.ObjectKeyFromObject(b.access()))
	}
	if recorded := len(b.record()); recorded != 3 {
		t.Errorf("%d requests are recorded", recorded)
	}
}
