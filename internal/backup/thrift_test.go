package backup_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth.dev/berth/internal/backup"
)

// fullStore is the URL of a store that lists nothing, takes nothing, and counts the
// snapshots that it is to take.
func fullStore(t *testing.T, asked *atomic.Int64) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "nobody")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "none")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `<?xml version="1.0"?><ListBucketResult><Name>backups</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>`)
			return
		}
		if strings.Contains(r.URL.Path, "/full-") {
			asked.Add(1)
		}
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`)
	}))
	t.Cleanup(server.Close)
	return "s3://backups?region=us-east-1&use_path_style=true&disable_https=true&endpoint=" + server.URL
}

// A store that lists and does not take is given snapshots ever more seldom: each reads all
// that etcd has.
func TestStoreThatDoesNotTake(t *testing.T) {
	b := newBed(t, 1)
	b.schedule.Delta = 100 * time.Millisecond
	asked := &atomic.Int64{}
	b.others = []string{fullStore(t, asked)}
	began := time.Now()
	b.record()
	b.eventually("it is asked some times", func() error {
		if asked.Load() < 5 {
			return errors.New("not yet")
		}
		return nil
	})
	// 0.2, 0.2, 0.4, 0.8 and 1.6 seconds lie between the first ones.
	if took := time.Since(began); took < 2500*time.Millisecond {
		t.Errorf("5 snapshots in %s", took)
	}
	b.stored(b.put("/a", "1")) // the other one is current all the time
	b.eventually("it shows", func() error {
		if state := b.recorder.State().Stores[0]; state.Error == "" || !state.Full.IsZero() {
			return fmt.Errorf("the store: %+v", state)
		}
		return nil
	})
}

// Nothing is asked of etcd that a store has no room for.
func TestNoSnapshotWithoutRoom(t *testing.T) {
	b := newBed(t, 1)
	dir := filepath.Join(b.stores[0], clusterID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "full-20260101T000000Z-1.zst.age")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 8<<40); err != nil {
		t.Skipf("no such file can be made here: %v", err)
	}
	b.schedule.Full, b.schedule.Keep = time.Second, backup.Retention{All: 1000 * 24 * time.Hour}
	b.record()
	b.eventually("it is said that there is no room", func() error {
		if said := b.recorder.State().Stores[0].Error; !strings.Contains(said, "full") {
			return fmt.Errorf("it says %q", said)
		}
		return nil
	})
	if found := b.objects(0, "full"); len(found) != 1 {
		t.Errorf("snapshots: %v", found)
	}
}

// A snapshot waits for its turn, and deltas do not.
func TestSnapshotsTakeTurns(t *testing.T) {
	b := newBed(t, 1)
	b.turns = backup.NewTurns(1)
	end := b.turns.Hold(t)
	b.record()
	b.eventually("a delta is stored", func() error {
		b.put("/a", "1")
		if len(b.objects(0, "delta")) == 0 {
			return errors.New("none")
		}
		return nil
	})
	if found := b.objects(0, "full"); len(found) != 0 {
		t.Errorf("out of turn: %v", found)
	}
	end()
	b.stored(b.put("/a", "2"))
	b.turns.Hold(t)() // its turn has an end
}

// A store that was emptied, or is not mounted any more while its mount point is there, does
// not count from the next delta on, or the next look where nothing is written, and gets
// another snapshot at once.
func TestEmptiedStore(t *testing.T) {
	for why, write := range map[string]bool{"something is written": true, "nothing is": false} {
		b := newBed(t, 1)
		b.record()
		b.stored(b.put("/a", "1"))
		dir := filepath.Join(b.stores[0], clusterID)
		if err := os.Rename(dir, dir+".unmounted"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		last := int64(0)
		if write {
			last = b.put("/b", "1")
		}
		b.eventually("another snapshot, where "+why, func() error {
			if len(b.objects(0, "full")) == 0 {
				return errors.New("none")
			}
			return nil
		})
		select {
		case said := <-b.emptied:
			if said != "file://"+b.stores[0] {
				t.Errorf("%s: it is told of %s", why, said)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: it is not told", why)
		}
		if last > 0 {
			b.stored(last)
		}
		b.stopRecording()
		b.stopEtcd()
		if err := os.RemoveAll(b.data); err != nil {
			t.Fatal(err)
		}
		if said := b.recover("emptied"); said.Revision < last || said.Keys < 1 {
			t.Errorf("%s: report %+v, want revision %d", why, said, last)
		}
	}
}
