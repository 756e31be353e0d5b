package backup_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"berth.dev/berth/internal/backup"
)

// silentStore is the URL of a store that takes connections and never answers.
func silentStore(t testing.TB) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "nobody")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "none")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = connection.Close() })
		}
	}()
	return "s3://backups?region=us-east-1&use_path_style=true&disable_https=true&endpoint=http://" + listener.Addr().String()
}

// A store that hangs when a recorder starts holds up the others for a short time only.
func TestStoreThatHangsAtTheStart(t *testing.T) {
	b := newBed(t, 1)
	stores := append([]string{silentStore(t)}, b.urls()...)
	recorder := backup.NewRecorder(backup.Config{
		ClusterID: clusterID, Stores: stores, Key: b.key, Schedule: b.schedule, Log: slog.New(slog.DiscardHandler), Scratch: t.TempDir(),
		Connect: func(context.Context) (clientv3.Config, error) {
			return clientv3.Config{Endpoints: []string{b.client}, Logger: zap.NewNop(), DialTimeout: 5 * time.Second}, nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		recorder.Run(ctx)
	}()
	defer func() { cancel(); <-done }()
	b.eventually("the other store has a snapshot", func() error {
		if len(b.objects(0, "full")) != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	if state := recorder.State(); state.Stores[0].Error == "" || state.Stores[1].Error != "" {
		t.Errorf("it does not show which store hangs: %+v", state.Stores)
	}
}

// A store that hangs in a write leaves the other one its snapshots in their time, and the
// recorder its end.
func TestOtherStoreOfOneThatHangsInAWrite(t *testing.T) {
	b := newBed(t, 1)
	b.schedule.Full, b.takes = time.Second, 100*time.Millisecond
	given := &atomic.Int64{}
	b.others = []string{backup.HangingStore(t, backup.KindFull, given)}
	b.record()
	b.eventually("the other store has three snapshots", func() error {
		if found := b.objects(0, "full"); len(found) < 3 {
			return fmt.Errorf("it has %v", found)
		}
		return nil
	})
	if n := given.Load(); n != 1 {
		t.Errorf("the store that hangs is given %d snapshots, want 1", n)
	}
	b.stopRecording()
}

// A store that hangs costs the other one none of its deltas, nor the cluster its recovery point:
// it is given what came meanwhile when it has been waited for.
func TestDeltasBesideAStoreThatHangs(t *testing.T) {
	b := newBed(t, 1)
	given := &atomic.Int64{}
	b.others = []string{backup.HangingStore(t, backup.KindDelta, given)}
	b.record()
	b.eventually("the other store has a snapshot", func() error {
		if len(b.objects(0, "full")) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	b.eventually("the store that hangs is given a delta", func() error {
		b.put("/a", "1")
		if given.Load() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	b.eventually("the other store has more deltas than the one that hangs is given", func() error {
		b.stored(b.put("/a", "2"))
		if found := len(b.objects(0, "delta")); found < int(given.Load())+3 {
			return fmt.Errorf("it has %d, and the one that hangs is given %d", found, given.Load())
		}
		return nil
	})
}
