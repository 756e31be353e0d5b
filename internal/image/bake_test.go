package image

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBake runs the real containerd: what it bakes must be complete, without
// layer blobs, and of the same files as the trees.
func TestBake(t *testing.T) {
	build, err := filepath.Abs("../../build")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out/containerd", "out/ctr"} {
		if _, err := os.Stat(filepath.Join(build, name)); err != nil {
			t.Skipf("build/%s is missing: run berth build --only containerd", name)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("containerd needs root")
	}
	dir, err := os.MkdirTemp(build, ".bake-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &Work{Build: build, Temporary: dir, Log: io.Discard, Say: func(string) {}, sums: loadHashes("")}
	base, top := filepath.Join(dir, "base"), filepath.Join(dir, "top")
	write(t, filepath.Join(base, "bin/program"), "program")
	write(t, filepath.Join(top, "bin/more"), "more")
	one := sampleStore(t, dir, "one", base)
	two := sampleStore(t, dir, "two", base, top)
	baked := filepath.Join(dir, "baked")
	order, err := bake(context.Background(), w, []store{one, two}, baked)
	if err != nil || !slices.Equal(order, []string{base, top}) {
		t.Fatalf("baked %v, %v; want %s and %s", order, err, base, top)
	}
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(baked, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if want := snapshotsDir + "/1\n" + snapshotsDir + "/2\n"; read("bind.txt") != want {
		t.Errorf("bind.txt is %q, want %q: the images share their first layer", read("bind.txt"), want)
	}
	if want := Ref("one", "v1") + "\n" + Ref("two", "v1") + "\n"; read("images.txt") != want {
		t.Errorf("images.txt is %q, want %q", read("images.txt"), want)
	}
	if len(strings.TrimSpace(read("id"))) != 64 {
		t.Errorf("id is %q", read("id"))
	}
	for file, tree := range map[string]string{"1/fs/bin/program": base, "2/fs/bin/more": top} {
		there, err := os.Stat(filepath.Join(baked, "root", snapshotsDir, file))
		if err != nil {
			t.Fatal(err)
		}
		original, err := os.Stat(filepath.Join(tree, file[len("1/fs/"):]))
		if err != nil || !os.SameFile(there, original) {
			t.Errorf("%s is a copy: %v", file, err)
		}
	}
	blobs, err := os.ReadDir(filepath.Join(baked, "root", contentDir, "blobs/sha256"))
	if err != nil || len(blobs) != 4 {
		t.Errorf("%d blobs, %v; want two manifests and two configs, and no layer", len(blobs), err)
	}
}

// TestBakeOfBrokenLayoutFails: a broken layout must not look like a finished bake.
func TestBakeOfBrokenLayoutFails(t *testing.T) {
	if _, err := os.Stat("../../build/out/containerd"); err != nil || os.Geteuid() != 0 {
		t.Skip("build/out/containerd or root is missing: run berth build --only containerd as root")
	}
	build, err := filepath.Abs("../../build")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(build, ".bake-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, filepath.Join(dir, "base/file"), "x")
	s := sampleStore(t, dir, "broken", filepath.Join(dir, "base"))
	descriptor, err := descriptorOf(s.layout)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.layout, "blobs/sha256", descriptor.Digest.Hex), "{}")
	w := &Work{Build: build, Temporary: dir, Log: io.Discard, Say: func(string) {}, sums: loadHashes("")}
	_, err = bake(context.Background(), w, []store{s}, filepath.Join(dir, "baked"))
	if err == nil || !strings.Contains(err.Error(), "images import") {
		t.Errorf("err = %v, want one with the command that failed", err)
	}
}

func sampleStore(t *testing.T, dir, name string, trees ...string) store {
	t.Helper()
	s := store{layout: filepath.Join(dir, name), trees: trees}
	var layers []*layer
	for _, tree := range trees {
		l, err := packLayer(tree, filepath.Join(dir, name+"-"+filepath.Base(tree)+".tar"))
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, l)
	}
	image, err := newImage(layers, []string{"/bin/program"})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeLayout(s.layout, Ref(name, "v1"), image, layers); err != nil {
		t.Fatal(err)
	}
	return s
}
