package policy

import (
	"testing"
	"time"

	"berth.dev/berth/internal/release"
)

// What runs has the state of its minor, also when it left the catalogue, and a
// withdrawn patch has 30 days to leave (F4).
func TestSupportOf(t *testing.T) {
	catalogue := &release.Catalogue{Releases: []release.Release{
		{Version: "1.37.2", Life: release.LifeOf("1.37")}, {Version: "1.36.3", Life: release.LifeOf("1.36")},
		{Version: "1.36.1", Life: release.LifeOf("1.36"), Removed: "2026-12-01"}, {Version: "1.34.2", Life: release.LifeOf("1.34")},
		{Version: "1.38.0", State: release.Preview},
	}}
	for _, c := range []struct {
		why, version, at string
		want             release.State
	}{
		{"the newest minor", "1.37.2", "2026-12-15", release.Supported},
		{"N-3, past its end of support", "1.34.2", "2026-12-15", release.Platform},
		{"a patch that is not in the catalogue any more", "1.36.0", "2026-12-15", release.Supported},
		{"a minor that is not either", "1.31.4", "2026-12-15", release.Retired},
		{"a patch that was withdrawn two weeks ago", "1.36.1", "2026-12-15", release.Supported},
		{"a patch that was withdrawn more than 30 days ago", "1.36.1", "2027-01-02", release.Retired},
		{"a preview", "1.38.0", "2026-12-15", release.Preview},
	} {
		now, err := time.Parse(time.DateOnly, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Versions{Catalogue: catalogue, Now: now}).SupportOf(c.version); got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.why, c.version, got, c.want)
		}
	}
}
