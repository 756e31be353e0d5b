package host

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/backup"
)

// restoreBed is an empty state directory, a store that has nothing, and a key.
func restoreBed(t *testing.T) (u *upper, store, key string) {
	t.Helper()
	paths := Paths{State: filepath.Join(t.TempDir(), "state")}
	if err := paths.create(); err != nil {
		t.Fatal(err)
	}
	drawn, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	store, key = t.TempDir(), filepath.Join(t.TempDir(), "recovery.key")
	if err := os.WriteFile(key, []byte("# a comment\n"+drawn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &upper{UpOptions: UpOptions{Restore: "file://" + store, RecoveryKey: key}, paths: paths, progress: newProgress(io.Discard)}, store, key
}

// A restore that cannot be made says why, and leaves the state directory as it was.
func TestRestoreRefuses(t *testing.T) {
	for _, c := range []struct {
		why     string
		prepare func(t *testing.T, u *upper, store string)
		want    string
	}{
		{"an empty store", func(*testing.T, *upper, string) {}, "has no backup of Berth"},
		{"no store", func(_ *testing.T, u *upper, _ string) { u.Restore += "/missing" }, "list the store"},
		{"no URL", func(_ *testing.T, u *upper, store string) { u.Restore = store }, "is no URL"},
		{"another Berth's key", func(t *testing.T, _ *upper, store string) { makeFile(t, filepath.Join(store, "management-0", "x")) }, "another Berth's"},
		{"no key", func(_ *testing.T, u *upper, _ string) { u.RecoveryKey = "" }, "needs --recovery-key"},
		{"no key in the file", func(t *testing.T, u *upper, store string) {
			u.RecoveryKey = filepath.Join(store, "x")
			makeFile(t, u.RecoveryKey)
		}, "is no recovery key"},
		{"a Berth that was up here", func(t *testing.T, u *upper, _ string) { makeFile(t, u.paths.instance()) }, "is not empty"},
		{"data of an etcd", func(t *testing.T, u *upper, _ string) {
			makeFile(t, filepath.Join(u.paths.machine("etcd"), "member", "x"))
		}, "is not empty"},
	} {
		u, store, _ := restoreBed(t)
		c.prepare(t, u, store)
		if err := u.restoreState(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.why, err, c.want)
		}
		if _, err := os.Stat(u.paths.restoreRecord()); err == nil {
			t.Errorf("%s: a restore has begun", c.why)
		}
	}
}

func makeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Backups and the key may lie in the state directory, and half a restore is begun anew.
func TestRestoreBegins(t *testing.T) {
	u, _, key := restoreBed(t)
	makeFile(t, filepath.Join(u.paths.backups(), "c1", "full-x"))
	raw, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(u.paths.recoveryKey(), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	u.RecoveryKey = ""
	if err := u.restoreState(t.Context()); err == nil || !strings.Contains(err.Error(), "has no backup of Berth") {
		t.Errorf("a directory with backups and the key: %v", err)
	}
	if err := checkRestored(u.paths); err != nil {
		t.Errorf("nothing was interrupted: %v", err)
	}
	record := restoreRecord{Store: u.Restore, Begun: time.Now()}
	if err := writeJSON(u.paths.restoreRecord(), record); err != nil {
		t.Fatal(err)
	}
	makeFile(t, u.paths.instance())
	if err := checkRestored(u.paths); !errors.Is(err, errInterrupted) {
		t.Errorf("an up goes on from half a restore: %v", err)
	}
	if err := u.restoreState(t.Context()); err == nil || !strings.Contains(err.Error(), "has no backup of Berth") {
		t.Errorf("half a restore is not begun anew: %v", err)
	}
	record.Point = &record.Begun
	if err := writeJSON(u.paths.restoreRecord(), record); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(u.restoreState(t.Context()), checkRestored(u.paths)); err != nil {
		t.Errorf("a whole restore: %v", err)
	}
}

// The recovery key is drawn once, is for root alone, and is in nothing that is sealed.
func TestRecoveryKeyStaysHere(t *testing.T) {
	u, _, _ := restoreBed(t)
	public, drawn, err := ensureRecoveryKey(u.paths, time.Now())
	if err != nil || !drawn {
		t.Fatalf("drawn %v, %v", drawn, err)
	}
	again, drawn, err := ensureRecoveryKey(u.paths, time.Now())
	if err != nil || drawn || again != public {
		t.Errorf("the second time: drawn %v, the same %v, %v", drawn, again == public, err)
	}
	if info, err := os.Stat(u.paths.recoveryKey()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := ensureInstance(u.paths, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := kubernetesKeys(u.paths, time.Now()); err != nil {
		t.Fatal(err)
	}
	files, err := stateFiles(u.paths)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"instance.json", "pki/kubernetes/ca.key", "pki/kubernetes/encryption.yaml", "pki/kubernetes/sa.key"} {
		if len(files[name]) == 0 {
			t.Errorf("%s is not in the bundle", name)
		}
	}
	for name, content := range files {
		if strings.Contains(string(content), "AGE-SECRET-KEY") {
			t.Errorf("%s has the recovery key", name)
		}
	}
	made, err := managementBackup(u.paths, public)
	if err != nil || len(made.Bundle) == 0 || len(made.Cert) == 0 {
		t.Errorf("what Berth gets: %v", err)
	}
}

// Backups are copied once, and nothing but backups.
func TestBackupsAreCopied(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	makeFile(t, filepath.Join(from, "c1", "full-20261126T120000Z-1.zst.age"))
	makeFile(t, filepath.Join(from, "c1", "notes.txt"))
	for i, want := range []int{1, 0} {
		if copied, _, err := copyBackups(t.Context(), from, to); err != nil || copied != want {
			t.Errorf("copy %d: %d, %v", i, copied, err)
		}
	}
	if _, err := os.Stat(filepath.Join(to, "c1", "notes.txt")); err == nil {
		t.Error("something else was copied")
	}
}
