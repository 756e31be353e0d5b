package backup_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/testenv"
)

// remote is a real server of an object store, with one bucket that is called backups.
type remote struct {
	t *testing.T
	// argv and environment start it, address is where it listens.
	argv, environment []string
	address           string
	// url names the store, and secret is what it takes to use it.
	url, secret string
	process     *testenv.Process
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ports, err := testenv.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0])
}

// start starts the server, also again: what it holds is on disk.
func (r *remote) start(b *bed) {
	r.t.Helper()
	process, err := testenv.StartProcess(r.t.TempDir()+"/store.log", r.environment, r.argv...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.process = process
	r.t.Cleanup(process.Kill)
	b.eventually("the store answers", func() error {
		connection, err := net.DialTimeout("tcp", r.address, time.Second)
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

// recordsAndRecovers backs an etcd up to a store that goes away for a while, loses the
// etcd's data and has it back.
func (r *remote) recordsAndRecovers(b *bed) {
	b.others = []string{r.url}
	b.record()
	b.put("before", "1")
	b.stored(b.put("large", strings.Repeat("x", 1<<20)))
	r.process.Stop()
	b.put("while it was away", "2")
	b.eventually("the store is known to be away", func() error {
		state := b.recorder.State()
		if len(state.Stores) != 1 || state.Stores[0].Error == "" {
			return fmt.Errorf("state %+v", state)
		}
		if strings.Contains(state.Stores[0].Error, r.secret) {
			r.t.Fatalf("a secret is told: %s", state.Stores[0].Error)
		}
		return nil
	})
	r.start(b)
	b.stored(b.put("after", "3"))
	b.stopRecording()
	b.stopEtcd()
	if err := os.RemoveAll(b.data); err != nil {
		r.t.Fatal(err)
	}
	if said := b.recover("1"); !said.Restored || len(said.Damaged) != 0 {
		r.t.Fatalf("recovered %+v", said)
	}
	b.startEtcd()
	for key, want := range map[string]string{"before": "1", "while it was away": "2", "after": "3"} {
		if got := b.value(key); got != want {
			r.t.Errorf("%q is %q, want %q", key, got, want)
		}
	}
}

// isPurged checks that a cluster's backups are listed, and gone once they are purged.
func (r *remote) isPurged() {
	purge := func(newest time.Time) error { return backup.Purge(r.t.Context(), r.url, clusterID, newest, false) }
	parts, err := backup.Parts(r.t.Context(), r.url)
	if err != nil || len(parts) != 1 || parts[0] != clusterID {
		r.t.Errorf("the store has parts %v of clusters, %v", parts, err)
	}
	if err := purge(time.Now().Add(-time.Hour)); !errors.Is(err, backup.ErrInUse) {
		r.t.Errorf("newer backups: %v", err)
	}
	if err := purge(time.Now()); err != nil {
		r.t.Error(err)
	}
	if parts, err := backup.Parts(r.t.Context(), r.url); err != nil || len(parts) != 0 {
		r.t.Errorf("after the purge: %v, %v", parts, err)
	}
}
