package release

import (
	"slices"
	"testing"
	"time"
)

func TestKeepReleases(t *testing.T) {
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	release := func(version string) Release {
		return Release{Version: version, Life: LifeOf(Minor(version)), KubeImage: "kube:v" + version}
	}
	made := func() *Catalogue {
		newest := release("1.36.4")
		newest.Default = true
		return &Catalogue{Releases: []Release{release("1.37.2"), newest}}
	}
	was := func(version string, change func(*Release)) Release {
		r := release(version)
		change(&r)
		return r
	}
	for _, c := range []struct {
		why    string
		before Release
		kept   bool
	}{
		{"the patch before the newest", release("1.36.3"), true},
		{"it was the management machine's", was("1.36.3", func(r *Release) { r.Default = true }), true},
		{"a minor that was added once", release("1.35.4"), true},
		{"one that is made again is not there twice", was("1.36.4", func(r *Release) { r.KubeImage = "older" }), false},
		{"its images are gone", was("1.36.2", func(r *Release) { r.KubeImage = "" }), false},
		{"four minors behind: no plan covers it", release("1.32.9"), false},
		{"it was withdrawn", was("1.36.3", func(r *Release) { r.State = Retired }), false},
		{"the day of its withdrawal has passed", was("1.36.3", func(r *Release) { r.Removed = "2026-11-25" }), false},
		{"that day is to come", was("1.36.3", func(r *Release) { r.Removed = "2026-12-25" }), true},
	} {
		c2 := made()
		c2.KeepReleases(&Catalogue{Releases: []Release{c.before}}, now, func(r Release) bool { return r.KubeImage != "" })
		if kept := len(c2.Releases) == 3; kept != c.kept {
			t.Errorf("%s: kept %v, want %v", c.why, kept, c.kept)
		}
		if err := c2.check(); err != nil {
			t.Errorf("%s: %v", c.why, err)
		}
		if slices.ContainsFunc(c2.Releases, func(r Release) bool { return r.KubeImage == "older" }) {
			t.Errorf("%s: what was made now has given way", c.why)
		}
	}
}

// What a version has of its own outlives builds, and goes on to the minor's next patch.
func TestImagesOfAVersionAreKept(t *testing.T) {
	own := map[string]string{"coredns": "coredns:of-1.36"}
	for _, c := range []struct {
		why, made string
		before    []Release
		want      string
	}{
		{"made again", "1.36.4", []Release{{Version: "1.36.4", Images: own}}, "coredns:of-1.36"},
		{"a new patch", "1.36.5", []Release{{Version: "1.36.4", Images: own}, {Version: "1.36.3"}}, "coredns:of-1.36"},
		{"the operator took it back with a later patch", "1.36.5", []Release{{Version: "1.36.4"}, {Version: "1.36.3", Images: own}}, "coredns:v1"},
		{"another minor", "1.37.0", []Release{{Version: "1.36.4", Images: own}}, "coredns:v1"},
		{"the first build", "1.36.4", nil, "coredns:v1"},
	} {
		made := &Catalogue{Releases: []Release{{Version: c.made}}}
		made.KeepReleases(&Catalogue{Releases: c.before}, time.Now(), func(Release) bool { return false })
		images := map[string]string{"coredns": "coredns:v1"}
		if got := made.ImagesIn(c.made, images); got["coredns"] != c.want || len(got) != 1 || images["coredns"] != "coredns:v1" {
			t.Errorf("%s: %v of %v", c.why, got, images)
		}
	}
}
