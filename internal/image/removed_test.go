package image

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/internal/release"
)

// What was built for a version alone goes with it, and no build makes it again; what others
// have too stays, and so does every version that all builds have.
func TestRemoveRelease(t *testing.T) {
	const gone, kept = "1.35.4", "1.36.1"
	root := t.TempDir()
	build := filepath.Join(root, "build")
	catalogue := &release.Catalogue{
		Releases:         []release.Release{{Version: "1.37.2"}, {Version: "1.36.3", Default: true}, {Version: kept}, {Version: gone, KubeImage: Ref("kube", "v"+gone)}},
		NodeImageVersion: "n-202612.01.0",
		NodeImages: []release.NodeImage{
			{Version: "n-202612.01.0", Images: map[string]string{"1.36.3": "a", gone: Ref("node-v"+gone, "n-202612.01.0")}},
			{Version: "n-202611.01.0", Images: map[string]string{gone: Ref("node-v"+gone, "n-202611.01.0")}},
		},
	}
	raw, err := json.Marshal(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(build, catalogueFile), string(raw))
	write(t, filepath.Join(build, addedFile), kept+"\n"+gone+"\n")
	goes := []string{
		"images/kube_v1.35.4/index.json", "images/node-v1.35.4_n-202612.01.0/index.json", "images/node-v1.35.4_n-202611.01.0/index.json",
		"rootfs/v1.35.4/etc/x", "out/kube-1.35", ".cache/stamps/kube-1.35.json", ".cache/logs/kube-1.35.log", ".cache/stamps/node-1.35.json",
	}
	stays := []string{
		"images/kube_v1.36.1/index.json", "images/node-v1.36.1_n-202612.01.0/index.json", "images/node-v1.35.40_n/index.json", "rootfs/v1.36.3/etc/x",
		"out/kube-1.36.1", ".cache/stamps/kube-1.36.json", ".cache/stamps/rootfs.json",
	}
	for _, path := range slices.Concat(goes, stays) {
		write(t, filepath.Join(build, path), path)
	}
	there := func(path string) bool {
		_, err := os.Stat(filepath.Join(build, path))
		return err == nil
	}
	if err := RemovableRelease(root, gone); err != nil {
		t.Fatal(err)
	}
	if err := RemovableRelease(root, "1.36.3"); err == nil || !strings.Contains(err.Error(), "every build") {
		t.Errorf("one that every build has: %v", err)
	}
	if err := DiscardRelease(root, gone); err == nil || !there(goes[0]) {
		t.Errorf("one that is offered loses its images: %v", err)
	}
	if err := WithdrawRelease(root, gone); err != nil {
		t.Fatal(err)
	}
	after, err := builtCatalogue(build)
	if err != nil {
		t.Fatal(err)
	}
	also, err := alsoMade(build)
	if _, has := after.Release(gone); has || len(after.Releases) != 3 || len(after.NodeImages) != 1 || slices.Contains(also, gone) || !slices.Contains(also, kept) || err != nil {
		t.Errorf("the catalogue has %+v and %+v, and %v, %v are made", after.Releases, after.NodeImages, also, err)
	}
	if len(after.Builds) != 1 || slices.Contains(after.Builds[0].Kubernetes, gone) {
		t.Errorf("notes %+v", after.Builds)
	}
	// Whoever was interrupted here goes on.
	if err := errors.Join(RemovableRelease(root, gone), WithdrawRelease(root, gone), DiscardRelease(root, gone)); err != nil {
		t.Fatal(err)
	}
	for _, path := range goes {
		if there(path) {
			t.Errorf("%s is left", path)
		}
	}
	for _, path := range stays {
		if !there(path) {
			t.Errorf("%s is gone", path)
		}
	}
	if err := RemovableRelease(root, gone); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("there is nothing left to remove: %v", err)
	}
}

// What is no version names no files: a pattern or a path would remove those of others.
func TestRemoveWhatIsNoVersion(t *testing.T) {
	for _, version := range []string{"1.35.*", "*", "1.35", "", "../..", "1.35.4/.."} {
		root := t.TempDir()
		write(t, filepath.Join(root, "build/images/node-v1.35.4_n/index.json"), "x")
		write(t, filepath.Join(root, "build/rootfs/v1.36.3/etc/x"), "x")
		if err := RemovableRelease(root, version); err == nil || !strings.Contains(err.Error(), "want major.minor.patch") && !strings.Contains(err.Error(), "is not a number") {
			t.Errorf("%q: %v", version, err)
		}
	}
}
