package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// The snapshot of an etcd that was full has its alarm, which refuses writes: what was
// written after somebody had made room is replayed all the same.
func TestReplayOnWhatWasFull(t *testing.T) {
	dir := t.TempDir()
	_, client, _ := startEtcd(t, filepath.Join(dir, "source"), func(config *embed.Config) { config.QuotaBackendBytes = 1 << 20 })
	w := writer{t, client}
	var err error
	for i := 1; err == nil; i++ {
		_, err = client.Put(t.Context(), strings.Repeat("k", i), strings.Repeat("v", 64<<10))
	}
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Fatal(err)
	}
	// The write that etcd is full with may be refused, or taken as the last.
	full, err := client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	at := w.do(clientv3.OpGet("a"))
	snapshot := filepath.Join(dir, "full.db")
	if err := os.WriteFile(snapshot, w.snapshot(), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := runChild(t.Context(), "rebuild", rebuilding{
		DataDir: filepath.Join(dir, "data"), Name: "etcd-0", Peer: "http://127.0.0.1:2380", Token: "c1",
		Snapshot: snapshot, Revision: at, Deltas: []string{deltaFile(t, 0, event(at+1, "a"), event(at+2, "b"))},
	})
	if err != nil || found.damage != "" || found.Keys != full.Count+2 {
		t.Errorf("%+v (%v), want %d keys", found, err, full.Count+2)
	}
}
