package release

import (
	"os"
	"path/filepath"
	"testing"
)

func sample() *Catalogue {
	return &Catalogue{Releases: []Release{
		{Version: "1.36.3", Default: true},
		{Version: "1.36.10"},
		{Version: "1.37.2"},
		{Version: "1.34.9", State: Retired},
	}}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct{ why, asked, want string }{
		{"no wish means the default", "", "1.36.3"},
		{"an exact version is itself", "1.37.2", "1.37.2"},
		{"an alias is the newest patch, by number and not by letter", "1.36", "1.36.10"},
		{"a minor that is called retired has no alias", "1.34", ""},
		{"an unknown version is not there", "1.38.0", ""},
		{"a major alone is no alias", "1", ""},
	} {
		got, ok := sample().Resolve(c.asked)
		if got.Version != c.want || ok != (c.want != "") {
			t.Errorf("%s: Resolve(%q) = %q, %v, want %q", c.why, c.asked, got.Version, ok, c.want)
		}
	}
}

func TestLoadChecks(t *testing.T) {
	for _, c := range []struct {
		why, content string
		ok           bool
	}{
		{"one default", `{"releases":[{"version":"1.37.2","default":true}]}`, true},
		{"no default leaves new clusters without a version", `{"releases":[{"version":"1.37.2"}]}`, false},
		{"two defaults are ambiguous", `{"releases":[{"version":"1.37.2","default":true},{"version":"1.36.3","default":true}]}`, false},
		{"a minor is no version", `{"releases":[{"version":"1.37","default":true}]}`, false},
		{"not JSON", `releases:`, false},
		{"a date is YYYY-MM-DD", `{"releases":[{"version":"1.37.2","default":true,"endOfSupport":"June"}]}`, false},
		{"a version does not end before it began", `{"releases":[{"version":"1.37.2","default":true,"released":"2027-01-01","endOfSupport":"2026-01-01"}]}`, false},
		{"an image of its own", `{"releases":[{"version":"1.37.2","default":true,"images":{"coredns":"coredns:v1"}}]}`, true},
		{"none", `{"releases":[{"version":"1.37.2","default":true,"images":{"coredns":""}}]}`, false},
		{"no cluster has an etcd of its version", `{"releases":[{"version":"1.37.2","default":true,"images":{"etcd":"etcd:v1"}}]}`, false},
		{"so is that of a withdrawal", `{"releases":[{"version":"1.37.2","default":true,"removed":"soon"}]}`, false},
	} {
		path := filepath.Join(t.TempDir(), "catalogue.json")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); (err == nil) != c.ok {
			t.Errorf("%s: err = %v, want ok = %v", c.why, err, c.ok)
		}
	}
}

func TestSortedIsNewestFirst(t *testing.T) {
	sorted := sample().Sorted()
	for i := 1; i < len(sorted); i++ {
		if Compare(sorted[i-1].Version, sorted[i].Version) < 0 {
			t.Errorf("%s stands before %s", sorted[i-1].Version, sorted[i].Version)
		}
	}
}
