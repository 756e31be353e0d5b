package backup

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// bundleBed is a store in a directory, and a key.
func bundleBed(t *testing.T) (store *Store, dir, key, public string) {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = PublicKey(key); err != nil {
		t.Fatal(err)
	}
	root, id := t.TempDir(), ManagementID(public)
	if store, err = OpenStore(t.Context(), "file://"+root, id); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store, filepath.Join(root, id), key, public
}

// A bundle is stored when it is another one, the newest whole one is given back, and
// nobody opens it without the key.
func TestBundle(t *testing.T) {
	store, dir, key, public := bundleBed(t)
	if _, err := store.Bundle(t.Context(), key); !errors.Is(err, ErrNoBundle) {
		t.Errorf("an empty store: %v", err)
	}
	put := func(content string, at time.Time) {
		t.Helper()
		sealed, err := SealBundle(public, map[string][]byte{"pki/ca.key": []byte(content), "instance.json": []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.putBundle(t.Context(), sealed, at); err != nil {
			t.Fatal(err)
		}
	}
	put("first", noon)
	put("first", noon.Add(time.Minute))
	if found, _ := store.bundles(t.Context()); len(found) != 1 {
		t.Errorf("the same content is stored as %v", found)
	}
	put("second", noon.Add(2*time.Minute))
	opened, err := store.Bundle(t.Context(), key)
	if err != nil || string(opened.Files["pki/ca.key"]) != "second" || len(opened.Files) != 2 || len(opened.Damaged) > 0 {
		t.Errorf("%v, %v", slices.Collect(maps.Keys(opened.Files)), err)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, opened.Name)); err != nil || bytes.Contains(raw, []byte("ca.key")) {
		t.Errorf("the store shows what is in it: %v", err)
	}

	damage(t, filepath.Join(dir, opened.Name))
	older, err := store.Bundle(t.Context(), key)
	if err != nil || string(older.Files["pki/ca.key"]) != "first" || !slices.Equal(older.Damaged, []string{opened.Name}) {
		t.Errorf("a damaged one is not passed over: %v, damaged %v", err, older.Damaged)
	}
	damage(t, filepath.Join(dir, older.Name))
	if _, err := store.Bundle(t.Context(), key); !errors.Is(err, ErrNoBundle) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("none is whole: %v", err)
	}
}

func damage(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Another key is another Berth's, even beside the first.
func TestBundleOfAnotherKey(t *testing.T) {
	store, _, _, public := bundleBed(t)
	sealed, err := SealBundle(public, map[string][]byte{"a": nil})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.putBundle(t.Context(), sealed, noon); err != nil {
		t.Fatal(err)
	}
	other, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Bundle(t.Context(), other); !errors.Is(err, ErrNoBundle) {
		t.Errorf("another key: %v", err)
	}
	if _, err := SealBundle("age1nonsense", nil); err == nil || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a key that is none: %v", err)
	}
	if otherPublic, err := PublicKey(other); err != nil || ManagementID(otherPublic) == ManagementID(public) {
		t.Errorf("two keys share an id: %v", err)
	}
}

// Bundles are few, and the retention of snapshots does not touch them.
func TestBundlesAreKept(t *testing.T) {
	store, _, key, public := bundleBed(t)
	for i := range bundlesKept + 3 {
		sealed, err := SealBundle(public, map[string][]byte{"a": fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.putBundle(t.Context(), sealed, noon.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.retain(t.Context(), Retention{}, noon.AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	found, err := store.bundles(t.Context())
	if err != nil || len(found) != bundlesKept {
		t.Errorf("%d are kept, want %d: %v", len(found), bundlesKept, err)
	}
	if opened, err := store.Bundle(t.Context(), key); err != nil || string(opened.Files["a"]) != fmt.Sprint(bundlesKept+2) {
		t.Errorf("the newest is not the last one that was stored: %q, %v", opened.Files["a"], err)
	}
}

// A bundle cannot name a file outside of where it is opened.
func TestBundleStaysInside(t *testing.T) {
	_, _, key, public := bundleBed(t)
	for _, name := range []string{"../a", "/etc/a", "a/../../b"} {
		sealed, err := SealBundle(public, map[string][]byte{name: nil})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openBundle(key, sealed.Sealed); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParts(t *testing.T) {
	root := t.TempDir()
	for _, id := range []string{"c1", "management-a"} {
		if err := os.Mkdir(filepath.Join(root, id), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if parts, err := Parts(t.Context(), "file://"+root); err != nil || !slices.Equal(parts, []string{"c1", "management-a"}) {
		t.Errorf("%v, %v", parts, err)
	}
	for _, address := range []string{"file://" + root + "/missing", "/no/url", "nothing://secret"} {
		if parts, err := Parts(t.Context(), address); err == nil {
			t.Errorf("%s has %v", address, parts)
		}
	}
}
