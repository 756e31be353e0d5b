package image

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// sampleTree has one of everything that a layer can hold.
func sampleTree(t *testing.T) string {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	write(t, filepath.Join(tree, "bin/program"), "program")
	write(t, filepath.Join(tree, "etc/empty"), "")
	for _, err := range []error{
		os.Link(filepath.Join(tree, "bin/program"), filepath.Join(tree, "bin/same")),
		os.Symlink("program", filepath.Join(tree, "bin/link")),
		os.Chmod(filepath.Join(tree, "bin/program"), fs.ModeSetuid|0o755),
		os.Mkdir(filepath.Join(tree, "tmp"), 0o777),
		os.Chmod(filepath.Join(tree, "tmp"), fs.ModeSticky|0o777),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func TestTarKeepsKindsModesAndHardLinks(t *testing.T) {
	var out bytes.Buffer
	if err := writeTar(sampleTree(t), &out); err != nil {
		t.Fatal(err)
	}
	var got []string
	for reader := tar.NewReader(&out); ; {
		header, err := reader.Next()
		if err != nil {
			break
		}
		if !header.ModTime.Equal(epoch) || header.Uname != "" {
			t.Errorf("%s has a time or a name of this host", header.Name)
		}
		got = append(got, strings.TrimSpace(header.Name+" "+header.FileInfo().Mode().String()+" "+header.Linkname))
	}
	want := []string{
		"bin/ drwxr-xr-x", "bin/link Lrwxrwxrwx program", "bin/program urwxr-xr-x", "bin/same urwxr-xr-x bin/program",
		"etc/ drwxr-xr-x", "etc/empty -rw-r--r--", "tmp/ dtrwxrwxrwx",
	}
	if !slices.Equal(got, want) {
		t.Errorf("tar has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEqualTreesAreEqualLayers(t *testing.T) {
	dir := t.TempDir()
	one, err := packLayer(sampleTree(t), filepath.Join(dir, "one"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := packLayer(sampleTree(t), filepath.Join(dir, "two"))
	if err != nil {
		t.Fatal(err)
	}
	if one.hash != two.hash || one.size != two.size {
		t.Errorf("layers %v and %v of equal trees differ", one.hash, two.hash)
	}
	linked := filepath.Join(dir, "linked")
	tree := sampleTree(t)
	if err := linkTree(tree, linked); err != nil {
		t.Fatal(err)
	}
	three, err := packLayer(linked, filepath.Join(dir, "three"))
	if err != nil || three.hash != one.hash {
		t.Errorf("a tree of links is another layer: %v, %v", three, err)
	}
	sums := loadHashes("")
	if sum, _ := sums.tree(tree); sum == "" {
		t.Error("no digest of the tree")
	} else if again, _ := sums.tree(linked); again != sum {
		t.Error("a tree of links has another digest")
	}
}

// TestLayersHoldNoDevices: a device 0:0 would delete a file when the layer is
// unpacked, others would be this host's.
func TestLayersHoldNoDevices(t *testing.T) {
	tree := sampleTree(t)
	if err := syscall.Mkfifo(filepath.Join(tree, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeTar(tree, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "pipe") {
		t.Errorf("err = %v, want one that names the file", err)
	}
}

func TestLayoutIsValid(t *testing.T) {
	dir := t.TempDir()
	l, err := packLayer(sampleTree(t), filepath.Join(dir, "layer"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := newImage([]*layer{l}, []string{"/bin/program"})
	if err != nil {
		t.Fatal(err)
	}
	place := filepath.Join(dir, "demo_v1")
	if err := writeLayout(place, Ref("demo", "v1"), image, []*layer{l}); err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(place)
	if err != nil {
		t.Fatal(err)
	}
	// The complete validation takes every layer for a compressed one.
	if err := validate.Index(index, validate.Fast); err != nil {
		t.Errorf("the layout is not valid: %v", err)
	}
	blobs, err := os.ReadDir(filepath.Join(place, "blobs/sha256"))
	if err != nil || len(blobs) != 3 {
		t.Errorf("%d blobs, %v; want layer, config and manifest", len(blobs), err)
	}
	for _, blob := range blobs {
		if sum, err := hashFile(filepath.Join(place, "blobs/sha256", blob.Name())); sum != blob.Name() {
			t.Errorf("blob %s has the hash %s, %v", blob.Name(), sum, err)
		}
	}
	descriptor, err := descriptorOf(place)
	if err != nil {
		t.Fatal(err)
	}
	if got := descriptor.Annotations[annotationContainer]; got != "registry.berth.internal/berth/demo:v1" {
		t.Errorf("named %q", got)
	}
	read, err := index.Image(descriptor.Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := read.ConfigFile()
	if err != nil || !slices.Equal(config.Config.Entrypoint, []string{"/bin/program"}) || config.OS != "linux" {
		t.Errorf("config %+v, %v", config, err)
	}
	if layoutName(Ref("demo", "v1")) != "demo_v1" {
		t.Errorf("layout of demo:v1 is %s", layoutName(Ref("demo", "v1")))
	}
}

func TestPublishKeepsTwoGenerations(t *testing.T) {
	w := &Work{Build: t.TempDir(), Temporary: t.TempDir()}
	made := func(tag string) string {
		dir := t.TempDir()
		tree := sampleTree(t)
		write(t, filepath.Join(tree, "tag"), tag)
		l, err := packLayer(tree, filepath.Join(dir, "layer"))
		if err != nil {
			t.Fatal(err)
		}
		image, err := newImage([]*layer{l}, []string{"/x"})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(w.Built(storeOf("demo"))); err != nil {
			t.Fatal(err)
		}
		if err := writeLayout(w.Built(storeOf("demo")), Ref("demo", tag), image, []*layer{l}); err != nil {
			t.Fatal(err)
		}
		ref, err := publishOne(w, "demo")
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	one, two, three := made("1"), made("2"), made("3")
	if err := retire(w.Built("images"), `{"demo":"`+two+`"}{"demo":"`+three+`"}`); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]bool{one: false, two: true, three: true} {
		_, err := os.Stat(w.Built(filepath.Join("images", layoutName(ref), "index.json")))
		if (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", ref, err == nil, want)
		}
	}
	// The same tag with new content replaces the old.
	before, _ := descriptorOf(w.Built("images/demo_3"))
	write(t, w.Built("images/demo_3/index.json"), `{"manifests":[{"digest":"sha256:`+strings.Repeat("0", 64)+`"}]}`)
	if _, err := publishOne(w, "demo"); err != nil {
		t.Fatal(err)
	}
	if after, _ := descriptorOf(w.Built("images/demo_3")); after.Digest != before.Digest {
		t.Error("changed content was not published")
	}
}

// kube-proxy lost every Service at its own restart while nft could not name protocols.
func TestImageWithNftNamesProtocols(t *testing.T) {
	if _, err := os.Stat("/usr/sbin/nft"); err != nil {
		t.Skip("nft is not installed")
	}
	build, tree := t.TempDir(), filepath.Join(t.TempDir(), "tree")
	// Debian's part is this host itself.
	if err := symlink("/", filepath.Join(build, debianTree)); err != nil {
		t.Fatal(err)
	}
	if err := (imageSpec{Nft: true, Bare: true}).fill(&Work{Build: build}, tree); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(tree, "etc/protocols"))
	if err != nil || !regexp.MustCompile(`(?m)^tcp\s+6\s`).Match(raw) {
		t.Errorf("protocol 6 has no name in the image: %v\n%s", err, raw)
	}
}
