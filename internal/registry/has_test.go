package registry

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// An image can be pulled as long as it was ever seeded, also when the build that it came from
// has others; from layouts as long as they are there.
func TestHas(t *testing.T) {
	images, dir := t.TempDir(), t.TempDir()
	image := randomImage(t)
	old := filepath.Join(images, "coredns_v1.14.0")
	writeLayout(t, old, image, nil)
	seeded, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seeded.Seed(t.Context(), images); err != nil {
		t.Fatal(err)
	}
	inPlace, err := New(Config{Layouts: images})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for reference, want := range map[string]bool{
		"registry.berth.internal/berth/coredns:v1.14.0":             true,
		"berth/coredns:v1.14.0":                                     true,
		"registry.berth.internal/berth/coredns@" + digest.String():  true,
		"registry.berth.internal/berth/coredns:v1.15.0":             false,
		"registry.berth.internal/berth/other:v1.14.0":               false,
		"registry.berth.internal/berth/coredns":                     false,
		"registry.berth.internal/../coredns:v1.14.0":                false,
		"registry.berth.internal/berth/coredns:../../../etc/passwd": false,
		"": false,
	} {
		for where, r := range map[string]*Registry{"seeded": seeded, "in place": inPlace} {
			if got, err := r.Has(reference); got != want || err != nil {
				t.Errorf("%s: %q: %t, %v", where, reference, got, err)
			}
		}
	}
	if err := os.RemoveAll(old); err != nil {
		t.Fatal(err)
	}
	retired, err := New(Config{Layouts: images})
	if err != nil {
		t.Fatal(err)
	}
	kept, err1 := seeded.Has("berth/coredns:v1.14.0")
	gone, err2 := retired.Has("berth/coredns:v1.14.0")
	if !kept || gone || errors.Join(err1, err2) != nil {
		t.Errorf("a retired build: the store keeps what it was given, a directory of layouts does not: %t, %t, %v, %v", kept, gone, err1, err2)
	}
	// What cannot be read is not gone.
	tag := filepath.Join(seeded.store.tags("berth/coredns"), "v1.14.0")
	if err := errors.Join(os.Remove(tag), os.Mkdir(tag, 0o700)); err != nil {
		t.Fatal(err)
	}
	if there, err := seeded.Has("berth/coredns:v1.14.0"); err == nil {
		t.Errorf("a tag that cannot be read: %t", there)
	}
}
