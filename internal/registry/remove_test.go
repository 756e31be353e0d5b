package registry

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// What is removed cannot be pulled any more and takes its content along; what shares a
// repository, a manifest or content with it stays whole.
func TestRemove(t *testing.T) {
	images, dir := t.TempDir(), t.TempDir()
	image, other := randomImage(t), randomImage(t)
	writeLayout(t, filepath.Join(images, "kube_v1.35.4"), image, nil)
	writeLayout(t, filepath.Join(images, "kube_v1.36.3"), other, nil)
	writeLayout(t, filepath.Join(images, "node-v1.35.4_n1"), image, nil)
	writeLayout(t, filepath.Join(images, "node-v1.35.4_n2"), randomImage(t), nil)
	writeLayout(t, filepath.Join(images, "node-v1.36.3_n1"), other, nil)
	r, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Seed(t.Context(), images); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * orphanAge)
	blobs := func() int {
		t.Helper()
		entries, err := os.ReadDir(r.store.blobs())
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if err := os.Chtimes(filepath.Join(r.store.blobs(), entry.Name()), long, long); err != nil {
				t.Fatal(err)
			}
		}
		return len(entries)
	}
	all := blobs()
	for _, reference := range []string{"registry.berth.internal/berth/kube:v1.35.4", "registry.berth.internal/berth/node-v1.35.4", "berth/kube:v1.30.0", "berth/nothing", "berth/kube:v1.35.4"} {
		if err := r.Remove(t.Context(), reference); err != nil {
			t.Errorf("%s: %v", reference, err)
		}
	}
	for reference, want := range map[string]bool{
		"berth/kube:v1.35.4": false, "berth/node-v1.35.4:n1": false, "berth/node-v1.35.4:n2": false, "berth/kube:v1.36.3": true, "berth/node-v1.36.3:n1": true,
	} {
		if has, err := r.Has(reference); has != want || err != nil {
			t.Errorf("%s: %t, %v", reference, has, err)
		}
	}
	names, err := r.store.listRepositories()
	if want := []string{"berth/kube", "berth/node-v1.36.3"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("repositories %v, %v; want %v", names, err, want)
	}
	if left := blobs(); left*3 != all {
		t.Errorf("%d of %d blobs are left; want those of one image in three", left, all)
	}
	if err := r.Remove(t.Context(), "../../etc"); err == nil {
		t.Error("what is no repository is removed")
	}
}
