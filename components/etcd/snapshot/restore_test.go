package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/etcd/server/v3/storage/datadir"
)

// What was saved comes back, and what was written after it does not. A repetition
// leaves alone what etcd has written since.
func TestRestoreBringsBackWhatWasSaved(t *testing.T) {
	volume := t.TempDir()
	data, saved := filepath.Join(volume, "data"), filepath.Join(volume, "snapshots", "s1"+suffix)
	endpoint, client, stop := startEtcd(t, data)
	put := func(key string) int64 {
		done, err := client.Put(t.Context(), key, "1")
		if err != nil {
			t.Fatal(err)
		}
		return done.Header.Revision
	}
	before := put("before")
	if err := (saving{endpoint: endpoint, to: saved}).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	put("after")
	stop()

	restore := restoring{from: saved, dataDir: data, name: "etcd-0", peer: "http://127.0.0.1:2380", token: "c1"}
	if err := restore.run(); err != nil {
		t.Fatal(err)
	}
	_, client, stop = startEtcd(t, data)
	found, err := client.Get(t.Context(), "before")
	if err != nil || found.Count != 1 || found.Kvs[0].ModRevision != before || found.Header.Revision < before+revisionBump {
		t.Errorf("%v %v: what was saved is not as it was, or watches would not notice", found, err)
	}
	if found, err := client.Get(t.Context(), "after"); err != nil || found.Count != 0 {
		t.Errorf("%v %v: what was written after the snapshot is there", found, err)
	}
	put("later")
	stop()
	if err := restore.run(); err != nil {
		t.Fatal(err)
	}
	_, client, _ = startEtcd(t, data)
	if found, err := client.Get(t.Context(), "later"); err != nil || found.Count != 1 {
		t.Errorf("%v %v: a repetition takes back what etcd has written since", found, err)
	}
	if got := listed(t, volume); !slices.Equal(got, []string{"data", "data.restored", "snapshots"}) {
		t.Errorf("the volume has %v", got)
	}
}

// A snapshot that is damaged replaces nothing.
func TestDamagedSnapshotReplacesNothing(t *testing.T) {
	volume := t.TempDir()
	data, saved := filepath.Join(volume, "data"), filepath.Join(volume, "s1"+suffix)
	endpoint, _, stop := startEtcd(t, data)
	if err := (saving{endpoint: endpoint, to: saved}).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	text, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(saved, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (restoring{from: saved, dataDir: data, name: "etcd-0", peer: "http://127.0.0.1:2380", token: "c1"}).run(); err == nil {
		t.Error("it is restored")
	}
	if _, err := os.Stat(datadir.ToBackendFileName(data)); err != nil {
		t.Error(err)
	}
}
