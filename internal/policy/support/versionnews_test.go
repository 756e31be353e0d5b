package support

import (
	"slices"
	"testing"
	"time"

	"berth.dev/berth/internal/policy/event"
	"berth.dev/berth/internal/release"
)

// A cluster is told once of what is new, and of its version before and when it leaves
// support; who was never told anything does not hear of what there is already.
func TestVersionsOf(t *testing.T) {
	life := func(released, ends string) release.Life { return release.Life{Released: released, EndOfSupport: ends} }
	catalogue := &release.Catalogue{Releases: []release.Release{
		{Version: "1.38.0", Life: life("2027-03-31", "2028-03-31")},
		{Version: "1.37.2", Life: life("2026-10-31", "2027-10-31")},
		{Version: "1.36.3", Life: life("2026-06-30", "2027-06-30")},
	}}
	at := func(text string) time.Time {
		moment, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	var told []string
	for _, c := range []struct {
		day  string
		want []string
	}{
		{"2026-12-01", nil},
		{"2026-12-02", nil},
		{"2027-04-01", []string{event.ReasonVersionAvailable}},
		{"2027-04-02", nil},
		{"2027-06-15", []string{event.ReasonSupportEnding}},
		{"2027-06-16", nil},
		{"2027-07-02", []string{event.ReasonVersionAvailable, event.ReasonSupportEnded}},
		{"2027-07-03", nil},
	} {
		var news []VersionNews
		var got []string
		news, told = VersionsOf(catalogue, "1.36.3", "", told, at(c.day))
		for _, one := range news {
			got = append(got, one.Reason)
			if one.Reason != event.ReasonVersionAvailable && one.Data[event.DataKubernetesVersion] != "1.36.3" {
				t.Errorf("%s: %+v", c.day, one)
			}
			if c.day == "2027-04-01" && (one.Data["latestSupportedKubernetesVersion"] != "1.38.0" || one.Data["latestStableKubernetesVersion"] != "1.37.2" || one.Data["lowestMinorKubernetesVersion"] != "1.36.3") {
				t.Errorf("%s: %+v", c.day, one.Data)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.day, got, c.want)
		}
	}
	if news, _ := VersionsOf(catalogue, "1.36.3", "", nil, at("2027-07-02")); len(news) != 1 || news[0].Reason != event.ReasonSupportEnded {
		t.Errorf("the first look at a cluster out of support: %+v", news)
	}
	if news, _ := VersionsOf(catalogue, "1.20.0", "", nil, at("2027-07-02")); len(news) > 0 {
		t.Errorf("a version that nobody knows: %+v", news)
	}
}
