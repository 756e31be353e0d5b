package host

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth.dev/berth/internal/release"
)

// An image that a version has of its own must be in the build, where it is Berth's to give.
func TestComponentsOfAVersionAreInTheBuild(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "images", "coredns_v1.13.1")
	if err := os.MkdirAll(there, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(there, "index.json"), []byte(`{"manifests":[{"digest":"sha256:`+strings.Repeat("0", 64)+`"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, ref, want string }{
		{"it is there", "registry.berth.internal/berth/coredns:v1.13.1", ""},
		{"it is not", "registry.berth.internal/berth/coredns:v1.13.2", "coredns:v1.13.2 for coredns of version 1.36.3"},
		{"another registry's", "registry.example/coredns:v1.13.2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := Artifacts{Dir: dir, Catalogue: &release.Catalogue{Releases: []release.Release{{Version: "1.36.3", Images: map[string]string{"coredns": c.ref}}}}}
			err := a.checkComponents()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// A build that lacks one is refused before anything is made.
func TestUpRefusesABuildThatLacksAnImage(t *testing.T) {
	if !isolate(t) {
		return
	}
	build, state := fakeBuild(t), filepath.Join(t.TempDir(), "state")
	const catalogue = `{"releases":[{"version":"1.2.3","default":true,"kubeImage":"kube","images":{"coredns":"registry.berth.internal/berth/coredns:v9"}}],` +
		`"images":{"pause":"pause","etcd":"etcd","berth":"berth","berth-node":"berth-node"}}`
	if err := os.WriteFile(filepath.Join(build, "catalogue.json"), []byte(catalogue), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Up(t.Context(), UpOptions{StateDir: state, BuildDir: build, Out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "coredns:v9 for coredns of version 1.2.3") {
		t.Errorf("it said %v", err)
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the state directory was made (%v)", err)
	}
}
