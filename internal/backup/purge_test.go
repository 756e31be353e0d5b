package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A purge takes all of one cluster's backups and nothing of another's, can be repeated,
// and leaves a cluster alone that is backed up still (X3).
func TestPurge(t *testing.T) {
	root := t.TempDir()
	address := "file://" + root
	deleted := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	write := func(id string, at time.Time) {
		t.Helper()
		store, err := OpenStore(t.Context(), address, id)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		name := fullObject(7, at).Name
		if err := os.WriteFile(filepath.Join(store.dir, name), []byte("sealed"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(store.dir, name+".1.tmp"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("gone", deleted.Add(-time.Hour))
	write("other", deleted.Add(-time.Hour))
	write("back", deleted.Add(-time.Hour))
	write("back", deleted.Add(2*time.Hour))
	for range 2 {
		if err := Purge(t.Context(), address, "gone", deleted.Add(time.Hour), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := Purge(t.Context(), address, "back", deleted.Add(time.Hour), true); !errors.Is(err, ErrInUse) {
		t.Errorf("the purge of a cluster that is backed up: %v", err)
	}
	for id, want := range map[string]int{"gone": 0, "other": 2, "back": 4} {
		if left, err := filepath.Glob(filepath.Join(root, id, "*")); err != nil || len(left) != want {
			t.Errorf("%s has %v, want %d (%v)", id, left, want, err)
		}
	}
	for range 2 {
		if err := Forget(address, "gone"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
	if err := Forget(address, "other"); err == nil {
		t.Error("what is not purged is forgotten")
	}
}

// A store that is not mounted has nothing of a cluster, which is no reason to call its
// backups removed, and the key with them.
func TestPurgeOfAStoreThatIsNotMounted(t *testing.T) {
	root := t.TempDir()
	now := time.Now()
	if err := Purge(t.Context(), "file://"+root, "a", now, true); !errors.Is(err, ErrNotThere) {
		t.Errorf("an empty mount point: %v", err)
	}
	if err := Purge(t.Context(), "file://"+root, "a", now, false); err != nil {
		t.Errorf("a store that never had backups of it: %v", err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("the purge makes %v (%v)", left, err)
	}
	if err := Purge(t.Context(), "file://"+root+"/away", "a", now, false); err == nil {
		t.Error("a directory that is away counts as purged")
	}
}

// A purge that was ended removes nothing more, in a directory too: the cluster may be back.
func TestPurgeThatWasEnded(t *testing.T) {
	dir := t.TempDir()
	store, err := OpenStore(t.Context(), "file://"+dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	path := filepath.Join(store.dir, fullObject(7, time.Now()).Name)
	if err := os.WriteFile(path, []byte("sealed"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.empty(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("a backup is gone: %v", err)
	}
}
