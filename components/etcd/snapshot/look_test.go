package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/datadir"
)

// What a member holds is told without a change to it: more after a write, and damage where
// there is some.
func TestLook(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	look := func() lookReport {
		t.Helper()
		var out bytes.Buffer
		if err := (looking{dataDir: dir}).run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		var said lookReport
		if err := json.Unmarshal(out.Bytes(), &said); err != nil {
			t.Fatal(err)
		}
		return said
	}
	if said := look(); said.Damage == "" {
		t.Errorf("no data: %+v", said)
	}
	write := func() {
		_, client, stop := startEtcd(t, dir)
		writer{t, client}.do(clientv3.OpPut("a", "b"))
		stop()
	}
	write()
	first := look()
	if again := look(); again != first || first.Damage != "" || first.Term == 0 || first.Index == 0 {
		t.Errorf("%+v, then %+v", first, again)
	}
	write()
	if second := look(); second.Index <= first.Index || second.Damage != "" {
		t.Errorf("%+v after a write to %+v", second, first)
	}
	if err := os.Truncate(datadir.ToBackendFileName(dir), 5000); err != nil {
		t.Fatal(err)
	}
	if said := look(); said.Damage == "" || said.Index != 0 {
		t.Errorf("a database that was cut: %+v", said)
	}
}
