package backup_test

import (
	"fmt"
	"maps"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"berth.dev/berth/internal/backup"
)

// fill writes revisions of many keys, larger together than what etcd sends at once and a
// connection has on its way, and returns the last.
func (b *bed) fill() (last int64) {
	b.t.Helper()
	value := strings.Repeat("x", 100_000)
	for range 20 {
		var ops []clientv3.Op
		for key := range 13 {
			ops = append(ops, clientv3.OpPut(fmt.Sprint("/", key), value))
		}
		done, err := b.etcd.Txn(b.t.Context()).Then(ops...).Commit()
		if err != nil {
			b.t.Fatal(err)
		}
		last = done.Header.Revision
	}
	return last
}

// What etcd tells of its past over a connection that breaks is told to its end, each event once.
func TestPastOverAConnectionThatBreaks(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	last := b.fill()
	never := func(int) {}
	want, err := backup.Past(t.Context(), b.etcd, last, never)
	if err != nil || len(want) != int(last)-1 {
		t.Fatalf("%d revisions of %d (%v)", len(want), last-1, err)
	}
	w := newWire(t, strings.TrimPrefix(b.client, "http://"))
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + w.Addr().String()}, Logger: zap.NewNop(), DialTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	told := func(why string, after func(int)) {
		t.Helper()
		got, err := backup.Past(t.Context(), client, last, after)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %d revisions of %d, as they are: %v (%v)", why, len(got), len(want), maps.Equal(got, want), err)
		}
	}
	for _, at := range []int{1, 5, 13, 14, 20, 27} { // pieces end wherever they do
		before := w.dialled()
		told(fmt.Sprintf("broken at event %d", at), func(n int) {
			if n == at {
				w.cut()
			}
		})
		if w.dialled() == before {
			t.Errorf("at event %d the connection was not broken", at)
		}
	}
	told("broken twice", func(n int) {
		if n == 3 || n == 30 {
			w.cut()
		}
	})
	connection := client.ActiveConnection()
	w.lead("127.0.0.1:1")
	for state := connection.GetState(); state != connectivity.TransientFailure; state = connection.GetState() {
		if connection.Connect(); !connection.WaitForStateChange(t.Context(), state) {
			t.Fatal("it stays connected")
		}
	}
	w.lead(strings.TrimPrefix(b.client, "http://"))
	told("broken before it is asked", never)

	other := newBed(t, 1)
	other.fill()
	_, err = backup.Past(t.Context(), client, last, func(n int) {
		if n == 1 {
			w.lead(strings.TrimPrefix(other.client, "http://"))
		}
	})
	if err == nil || !strings.Contains(err.Error(), "another etcd") {
		t.Errorf("of another etcd that goes on it says %v", err)
	}
}

// One that breaks however often it is made anew is not asked for ever.
func TestPastOverConnectionsThatAllBreak(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		asked.Add(1)
		return status.Error(codes.Unavailable, "as the test wants")
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + listener.Addr().String()}, Logger: zap.NewNop(), DialTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = backup.Past(t.Context(), client, 9, func(int) {})
	if n := asked.Load(); err == nil || !strings.Contains(err.Error(), "as the test wants") || n != 3 {
		t.Errorf("asked %d times it says %v", n, err)
	}
}
