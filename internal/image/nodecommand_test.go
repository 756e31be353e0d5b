package image

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/release"
)

func catalogueOfTwo() *release.Catalogue {
	return &release.Catalogue{NodeImageVersion: "n-202612.01.0", NodeImages: []release.NodeImage{
		{Version: "n-202612.01.0", Built: "2026-12-01T06:00:00Z", Images: map[string]string{"1.37.2": "a", "1.36.3": "b"},
			Packages: map[string]string{"openssl": "3.0.17", "socat": "1.7"}},
		{Version: "n-202611.24.0", Built: "2026-11-24T06:00:00Z", Images: map[string]string{"1.36.3": "c"},
			Packages: map[string]string{"openssl": "3.0.15", "gzip": "1.12"}},
	}}
}

// Whoever is to upgrade a node reads here what he gets by it (N1).
func TestNodeImageTellsWhatChanged(t *testing.T) {
	catalogue := catalogueOfTwo()
	var out bytes.Buffer
	if err := describeNodeImage(&out, catalogue, catalogue.NodeImages[0]); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"for Kubernetes 1.36.3, 1.37.2", "3 changes since n-202611.24.0", "gzip", "(none)", "3.0.15", "→ 3.0.17"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is missing from\n%s", line, out.String())
		}
	}
	out.Reset()
	if err := describeNodeImage(&out, catalogue, catalogue.NodeImages[1]); err != nil || !strings.Contains(out.String(), "oldest") {
		t.Errorf("the oldest image has nothing to be compared with: %v\n%s", err, out.String())
	}
}

// An image of an earlier build is offered only while its files are there.
func TestNodeImagesOfEarlierBuildsAreKept(t *testing.T) {
	build := t.TempDir()
	w := &Work{Build: build, Temporary: t.TempDir()}
	put := func(name, content string) {
		t.Helper()
		if err := writeFile(filepath.Join(build, name), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	kept, swept := Ref("node-v1.36.3", "n-202611.24.0"), Ref("node-v1.36.3", "n-202611.17.0")
	before := &release.Catalogue{NodeImages: []release.NodeImage{
		{Version: "n-202611.24.0", Images: map[string]string{"1.36.3": kept}},
		{Version: "n-202611.17.0", Images: map[string]string{"1.36.3": swept}},
	}}
	put(packageList, "openssl\t3.0.17\tamd64\nbash\t5.2\tamd64\n")
	put(nodeVersionFile, "n-202612.01.0\n")
	put(filepath.Join("images", layoutName(kept), "index.json"), `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}]}`)
	now := &release.Catalogue{
		Releases: []release.Release{{Version: "1.36.3", NodeImage: Ref("node-v1.36.3", "n-202612.01.0")}},
		Images:   map[string]string{"berth-node": Ref("berth-node", "v0.1.0-abc")},
	}
	if err := recordNodeImage(w, now, before, "n-202612.01.0"); err != nil {
		t.Fatal(err)
	}
	if len(now.NodeImages) != 2 || now.NodeImages[1].Version != "n-202611.24.0" {
		t.Fatalf("after the build: %+v", now.NodeImages)
	}
	newest := now.NodeImages[0]
	if newest.Packages["openssl"] != "3.0.17" || newest.Components["berth-node"] != "v0.1.0-abc" || newest.Built == "" {
		t.Errorf("the new image's record: %+v", newest)
	}
	day := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	for range 2 {
		now.RecordBuild(day, keptBuilds)
		day = day.AddDate(0, 0, 1)
	}
	if len(now.Builds) != 1 || now.Builds[0].Built != "2026-12-01T08:00:00Z" || now.Builds[0].NodeImage != "n-202612.01.0" {
		t.Errorf("two builds of the same: %+v", now.Builds)
	}
	if err := os.Remove(filepath.Join(build, packageList)); err != nil {
		t.Fatal(err)
	}
	if err := recordNodeImage(w, now, before, "n-202612.01.0"); err == nil {
		t.Error("an image without a list of its packages was recorded")
	}
}
