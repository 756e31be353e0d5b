package host

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/image"
	"berth.dev/berth/internal/release"
)

// A machine that runs must not be started again for a release that it will pull.
func TestAddedReleaseLeavesTheFingerprint(t *testing.T) {
	dir := t.TempDir()
	a := Artifacts{Dir: dir, Catalogue: &release.Catalogue{
		Releases: []release.Release{{Version: "1.36.3", Default: true, KubeImage: "kube:v1.36.3"}}, Images: map[string]string{"etcd": "etcd:v3"},
	}}
	if err := os.MkdirAll(a.rootFS(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "baked-management"), 0o755); err != nil {
		t.Fatal(err)
	}
	fingerprint := func() string {
		sum, err := a.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	before := fingerprint()
	a.Catalogue.Releases = append(a.Catalogue.Releases, release.Release{Version: "1.35.4", KubeImage: "kube:v1.35.4"})
	if fingerprint() != before {
		t.Error("an added release changes the machine")
	}
	a.Catalogue.Images["etcd"] = "etcd:v4"
	if fingerprint() == before {
		t.Error("another etcd does not")
	}
}

func TestReleaseList(t *testing.T) {
	catalogue := &release.Catalogue{Releases: []release.Release{
		{Version: "1.37.2", Life: release.LifeOf("1.37")}, {Version: "1.36.3", Life: release.LifeOf("1.36")}, {Version: "1.33.1"},
	}}
	var out bytes.Buffer
	rows := releaseRows(catalogue, time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC))
	if err := printReleases(&out, "table", rows); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 6 || !strings.Contains(lines[1], "1.37.2") || !strings.Contains(lines[5], "retired") || !strings.Contains(out.String(), "no: berth release add 1.35.4") {
		t.Errorf("built ones, newest first, and those that could be:\n%s", out.String())
	}
	if len(image.Buildable()) == 0 {
		t.Error("nothing can be built")
	}
}
