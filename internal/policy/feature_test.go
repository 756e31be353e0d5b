package policy

import (
	"testing"
	"time"

	"berth.dev/berth/internal/release"
)

func TestPreviewsAreAskedFor(t *testing.T) {
	v := Versions{Now: time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC), Catalogue: &release.Catalogue{Releases: []release.Release{
		{Version: "1.39.0", State: release.Preview}, {Version: "1.38.0", State: release.Supported},
	}}}
	for _, c := range []struct {
		why   string
		moves []VersionMove
		want  string
	}{
		{"nothing is asked for", nil, ""},
		{"what is generally available needs nothing", []VersionMove{{"kubernetesVersion", "", "1.38.0"}}, ""},
		{"a new cluster", []VersionMove{{"kubernetesVersion", "", "1.39.0"}}, "kubernetesVersion"},
		{"an upgrade", []VersionMove{{"kubernetesVersion", "1.38.0", "1.39.0"}}, "kubernetesVersion"},
		{"what runs may stay, whatever was unregistered since", []VersionMove{{"kubernetesVersion", "1.39.0", "1.39.0"}}, ""},
		{"a pool may be the only one", []VersionMove{{"kubernetesVersion", "1.39.0", "1.39.0"}, {"p", "1.38.0", "1.39.0"}}, "p"},
		{"the way out of a preview is open", []VersionMove{{"kubernetesVersion", "1.39.0", "1.38.0"}}, ""},
		{"what the catalogue does not have is somebody else's to refuse", []VersionMove{{"kubernetesVersion", "", "1.50.0"}}, ""},
	} {
		move, feature, found := v.Preview(c.moves)
		if move.Target != c.want || found != (c.want != "") || found && feature.Name != KubernetesVersionPreview {
			t.Errorf("%s: %+v %+v, want %q", c.why, move, feature, c.want)
		}
	}
}

func TestFeaturesAreToldApart(t *testing.T) {
	seen := map[string]bool{}
	for _, feature := range Features() {
		found, ok := FindFeature("microsoft.containerservice", feature.Name)
		if _, err := time.Parse(time.DateOnly, feature.Since); !ok || found != feature || err != nil || feature.Guards == "" || feature.Plan == "" || seen[feature.FullName()] {
			t.Errorf("%+v (%v)", feature, err)
		}
		seen[feature.FullName()] = true
	}
	if _, ok := FindFeature("Microsoft.ContainerService", "none"); ok {
		t.Error("a feature that is none is found")
	}
}
