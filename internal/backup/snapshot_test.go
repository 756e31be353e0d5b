package backup_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// A snapshot is whole however etcd is read: from a member directly; over gRPC where there is no
// such way, or the member that answers is behind; and not at all where its end is missing.
func TestSnapshotByEachWay(t *testing.T) {
	for name, c := range map[string]struct {
		// direct answers GET in etcd's place, which itself is to be told about streams.
		direct  func(etcd http.Handler) http.Handler
		streams int
	}{
		"direct":                {func(etcd http.Handler) http.Handler { return etcd }, 0},
		"cut off once":          {cutOnce, 0},
		"stuck once":            {stuckOnce, 0},
		"an older etcd":         {func(http.Handler) http.Handler { return http.NotFoundHandler() }, 1},
		"one that starts":       {func(http.Handler) http.Handler { return http.HandlerFunc(unavailable) }, 1},
		"one that is behind":    {saying(func(h http.Header) { h.Set("Berth-Revision", "1") }), 1},
		"one that is no member": {saying(func(h http.Header) { h.Set("Berth-Member", "1") }), 1},
		"one without a name":    {saying(func(h http.Header) { h.Del("Berth-Member") }), 1},
		"one without a length":  {saying(func(h http.Header) { h.Del("Content-Length"); h.Set("Transfer-Encoding", "chunked") }), 1},
		"one that is empty":     {giving(0), 1},
		"no database":           {giving(513), 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 1)
			own, err := url.Parse(b.client)
			if err != nil {
				t.Fatal(err)
			}
			var asked atomic.Int32
			handler := c.direct(httputil.NewSingleHostReverseProxy(own))
			at := apart(t, own.Host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				handler.ServeHTTP(w, r)
			}))
			b.connect = func(context.Context) (clientv3.Config, error) {
				return clientv3.Config{Endpoints: []string{at}, Logger: zap.NewNop(), DialTimeout: time.Minute}, nil
			}
			for i := range 100 {
				b.put(fmt.Sprintf("/registry/configmaps/%d", i), strings.Repeat("x", 10_000))
			}
			last := b.put("/registry/a", name)
			b.record()
			b.eventually("a snapshot is stored", func() error {
				if state := b.recorder.State(); state.Full == nil || state.Snapshot != "" {
					return fmt.Errorf("%+v", state)
				}
				return nil
			})
			if streams := b.streams(); streams != c.streams || asked.Load() == 0 {
				t.Errorf("asked directly %d times, and %d over gRPC, want %d", asked.Load(), streams, c.streams)
			}
			b.stopRecording()
			b.stopEtcd()
			if err := os.RemoveAll(b.data); err != nil {
				t.Fatal(err)
			}
			if said := b.recover("lost"); !said.Restored || said.Revision != last || said.Keys != 101 {
				t.Errorf("report %+v, etcd was at %d", said, last)
			}
			if b.startEtcd(); b.value("/registry/a") != name {
				t.Error("not all of it is there")
			}
		})
	}
}

// saying has etcd say something else of its snapshots.
func saying(change func(http.Header)) func(etcd http.Handler) http.Handler {
	return func(etcd http.Handler) http.Handler {
		etcd.(*httputil.ReverseProxy).ModifyResponse = func(answer *http.Response) error {
			change(answer.Header)
			return nil
		}
		return etcd
	}
}

// giving has etcd give so many bytes alone, and say so.
func giving(size int64) func(etcd http.Handler) http.Handler {
	return func(etcd http.Handler) http.Handler {
		etcd.(*httputil.ReverseProxy).ModifyResponse = func(answer *http.Response) error {
			answer.Body = struct {
				io.Reader
				io.Closer
			}{io.LimitReader(answer.Body, size), answer.Body}
			answer.Header.Set("Content-Length", strconv.FormatInt(size, 10))
			return nil
		}
		return etcd
	}
}

// cutOnce has the first snapshot end in its middle.
func cutOnce(etcd http.Handler) http.Handler {
	var cut atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !cut.Swap(true) {
			w = &half{ResponseWriter: w}
		}
		etcd.ServeHTTP(w, r)
	})
}

// stuckOnce has the first snapshot stand still in its middle, for longer than anybody waits.
func stuckOnce(etcd http.Handler) http.Handler {
	var stuck atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !stuck.Swap(true) {
			w = &half{ResponseWriter: w, until: r.Context().Done()}
		}
		etcd.ServeHTTP(w, r)
	})
}

// half is an answer that breaks when some of it was given.
type half struct {
	http.ResponseWriter
	given int
	// until is what it stands still until before that; nil if it does not.
	until <-chan struct{}
}

// Write implements http.ResponseWriter.
func (h *half) Write(p []byte) (int, error) {
	if h.given += len(p); h.given > 200_000 {
		if h.until != nil {
			h.ResponseWriter.(http.Flusher).Flush()
			<-h.until
		}
		panic(http.ErrAbortHandler)
	}
	return h.ResponseWriter.Write(p)
}

func unavailable(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "etcd has not started", http.StatusServiceUnavailable)
}

// streams is how many snapshots etcd was asked for over gRPC.
func (b *bed) streams() int {
	b.t.Helper()
	answer, err := http.Get(b.client + "/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^grpc_server_started_total\{.*grpc_method="Snapshot".*\} (\d+)$`).FindSubmatch(text)
	if found == nil {
		b.t.Fatal("etcd does not say how many streams it gave")
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// apart leads gRPC to an etcd, and requests of HTTP/1.1 to somebody else.
func apart(t *testing.T, etcd string, direct http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests := &handed{Listener: listener, accepted: make(chan net.Conn), ended: make(chan struct{})}
	server := &http.Server{Handler: direct, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(requests) }()
	t.Cleanup(func() { close(requests.ended); _ = server.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go requests.lead(near, etcd)
		}
	}()
	return "http://" + listener.Addr().String()
}

// handed is a listener that is given its connections.
type handed struct {
	net.Listener
	accepted chan net.Conn
	ended    chan struct{}
}

// Accept implements net.Listener.
func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.accepted:
		return c, nil
	case <-h.ended:
		return nil, errors.New("it has ended")
	}
}

// lead looks at how a connection begins.
func (h *handed) lead(near net.Conn, etcd string) {
	peeked := bufio.NewReader(near)
	if start, err := peeked.Peek(3); err != nil || string(start) != "PRI" { // HTTP/2 (RFC 9113, 3.4)
		select {
		case h.accepted <- begun{near, peeked}:
		case <-h.ended:
		}
		return
	}
	defer near.Close()
	far, err := net.Dial("tcp", etcd)
	if err != nil {
		return
	}
	defer far.Close()
	go func() { _, _ = io.Copy(far, peeked); _ = far.Close() }()
	_, _ = io.Copy(near, far)
}

// begun is a connection of which some was read ahead.
type begun struct {
	net.Conn
	ahead io.Reader
}

// Read implements net.Conn.
func (b begun) Read(p []byte) (int, error) { return b.ahead.Read(p) }
