package release

import (
	"slices"
	"testing"
	"time"
)

// built is a catalogue of one version of Berth.
func built(berth, coredns, node, openssl string, kubernetes ...string) *Catalogue {
	c := &Catalogue{NodeImageVersion: node, Images: map[string]string{"berth": "r/berth:" + berth, "coredns": "r/coredns:" + coredns, "demo": "r/demo:" + berth}}
	for _, version := range kubernetes {
		c.Releases = append(c.Releases, Release{Version: version})
	}
	c.NodeImages = []NodeImage{image(node, openssl)}
	return c
}

// next builds a catalogue after another.
func next(before, after *Catalogue, day int) *Catalogue {
	after.Builds = before.Builds
	for _, one := range before.NodeImages {
		if _, known := after.NodeImage(one.Version); !known {
			after.NodeImages = append(after.NodeImages, one)
		}
	}
	after.RecordBuild(time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC), 3)
	return after
}

func TestNotes(t *testing.T) {
	c := next(&Catalogue{}, built("v1", "v1.14.0", "n-202611.01.0", "3.0.15", "1.36.3"), 1)
	c = next(c, built("v1", "v1.14.0", "n-202611.01.0", "3.0.15", "1.36.3"), 2)
	c = next(c, built("v2", "v1.15.0", "n-202611.08.0", "3.0.17", "1.36.3", "1.37.2"), 8)
	c = next(c, built("v3", "v1.15.0", "n-202611.08.0", "3.0.17", "1.37.2"), 9)

	notes, ok := c.Notes("")
	want := []Change{{"Kubernetes", "1.36.3", ""}, {"berth", "v2", "v3"}}
	if !ok || notes.Version != "v3" || notes.Previous != "v2" || !slices.Equal(notes.Changes, want) || len(notes.Packages) != 0 {
		t.Errorf("the newest: %+v", notes)
	}
	notes, ok = c.Notes("v2")
	want = []Change{{"Kubernetes", "", "1.37.2"}, {"node image", "n-202611.01.0", "n-202611.08.0"}, {"berth", "v1", "v2"}, {"coredns", "v1.14.0", "v1.15.0"}}
	if !ok || notes.Built != "2026-11-08T00:00:00Z" || !slices.Equal(notes.Changes, want) || !slices.Equal(notes.Packages, []Change{{"openssl", "3.0.15", "3.0.17"}}) {
		t.Errorf("the one before: %+v", notes)
	}
	notes, ok = c.Notes("v1")
	if !ok || notes.Built != "2026-11-01T00:00:00Z" || notes.Previous != "" || len(notes.Changes) != 0 {
		t.Errorf("the oldest, which was built twice: %+v", notes)
	}
	if _, ok := c.Notes("v9"); ok {
		t.Error("there is no v9")
	}
	c = next(c, built("v4", "v1.15.0", "n-202611.08.0", "3.0.17", "1.37.2"), 10)
	if len(c.Builds) != 3 || c.Builds[0].Version != "v4" || c.Builds[2].Version != "v2" {
		t.Errorf("three are kept: %+v", c.Builds)
	}
}

// What is built again under the same version, as with a new node image, is in its notes.
func TestNotesOfWhatIsBuiltAgain(t *testing.T) {
	c := next(&Catalogue{}, built("v1", "v1.14.0", "n-202611.01.0", "3.0.15", "1.36.3"), 1)
	c = next(c, built("v2", "v1.14.0", "n-202611.01.0", "3.0.15", "1.36.3"), 2)
	c = next(c, built("v2", "v1.14.0", "n-202611.08.0", "3.0.17", "1.36.3"), 8)
	notes, _ := c.Notes("")
	if want := []Change{{"node image", "n-202611.01.0", "n-202611.08.0"}, {"berth", "v1", "v2"}}; len(c.Builds) != 2 || notes.Built != "2026-11-02T00:00:00Z" || !slices.Equal(notes.Changes, want) {
		t.Errorf("%+v of %+v", notes, c.Builds)
	}
}

// A catalogue of before there was a history has notes of what it has.
func TestNotesWithoutHistory(t *testing.T) {
	notes, ok := built("v1", "v1.14.0", "n-202611.01.0", "3", "1.36.3", "1.37.2").Notes("")
	if !ok || notes.Version != "v1" || !slices.Equal(notes.Kubernetes, []string{"1.37.2", "1.36.3"}) || notes.Components["coredns"] != "v1.14.0" || notes.Components["demo"] != "" {
		t.Errorf("%+v", notes)
	}
}

func TestRoadmap(t *testing.T) {
	c := &Catalogue{Releases: []Release{
		{Version: "1.39.0", State: Preview}, {Version: "1.37.2", Life: LifeOf("1.37")}, {Version: "1.36.1", Removed: "2026-12-15"},
		{Version: "1.38.0", Life: Life{Released: "2027-02-01", EndOfSupport: "2028-02-01"}},
	}}
	var got []string
	for _, one := range c.Roadmap(at("2027-01-01")) {
		got = append(got, one.Date+" "+string(one.Kind)+" "+one.Subject)
	}
	want := []string{
		" Preview Kubernetes 1.38.0", " Preview Kubernetes 1.39.0", "2027-02-01 Available Kubernetes 1.38", "2027-03-31 EndOfSupport Kubernetes 1.35",
		"2027-06-30 EndOfSupport Kubernetes 1.36", "2027-10-31 EndOfSupport Kubernetes 1.37", "2027-11-30 EndOfLTS Kubernetes 1.34", "2028-02-01 EndOfSupport Kubernetes 1.38",
		"2028-03-31 EndOfLTS Kubernetes 1.35", "2028-06-30 EndOfLTS Kubernetes 1.36", "2028-10-31 EndOfLTS Kubernetes 1.37",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want\n%q", got, want)
	}
	soon := slices.ContainsFunc(c.Roadmap(at("2026-12-15")), func(m Milestone) bool { return m.Kind == MilestoneWithdrawn && m.Subject == "Kubernetes 1.36.1" })
	if !soon {
		t.Error("a withdrawal is on the roadmap until its day is over")
	}
}
