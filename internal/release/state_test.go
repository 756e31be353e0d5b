package release

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func at(date string) time.Time {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	return day.Add(12 * time.Hour)
}

// dated has the minors of the calendar, two patches each.
func dated() *Catalogue {
	c := &Catalogue{}
	for _, minor := range []string{"1.34", "1.35", "1.36", "1.37"} {
		for _, patch := range []string{".3", ".4"} {
			c.Releases = append(c.Releases, Release{Version: minor + patch, Life: LifeOf(minor), Default: minor+patch == "1.36.4"})
		}
	}
	return c
}

func TestStates(t *testing.T) {
	for _, c := range []struct {
		why, version, plan, now string
		want                    State
	}{
		{"before its release a minor is a preview", "1.37.4", "", "2026-10-31", Preview},
		{"and supported from the day after on", "1.37.4", "", "2026-11-01", Supported},
		{"N-2", "1.35.4", "", "2026-11-01", Supported},
		{"N-3 keeps 30 days of grace (F4)", "1.34.4", "", "2026-11-30", Supported},
		{"then it has platform support", "1.34.4", "", "2026-12-01", Platform},
		{"an end of support takes N-1 out though nothing newer came", "1.36.4", "", "2027-07-01", Platform},
		{"the newest stays whatever its dates: something must be there for new clusters", "1.37.4", "", "2029-01-01", Supported},
		{"long-term support lasts a year longer", "1.35.4", PlanLTS, "2027-12-01", Supported},
		{"and covers the two newest patches", "1.35.3", PlanLTS, "2027-12-01", Supported},
		{"but ends too", "1.35.4", PlanLTS, "2028-04-01", Platform},
		{"the same under the usual plan", "1.35.4", PlanOfficial, "2027-12-01", Platform},
	} {
		releases := dated()
		r, _ := releases.Release(c.version)
		if got := releases.StateAt(r, c.plan, at(c.now)); got != c.want {
			t.Errorf("%s: %s on %s is %s, want %s", c.why, c.version, c.now, got, c.want)
		}
	}
}

func TestStatesOfOnePatch(t *testing.T) {
	for _, c := range []struct {
		why     string
		release Release
		plan    string
		want    State
	}{
		{"withdrawn", Release{Version: "1.36.1", Life: LifeOf("1.36"), Removed: "2026-11-11"}, "", Retired},
		{"to be withdrawn later", Release{Version: "1.36.1", Life: LifeOf("1.36"), Removed: "2027-01-11"}, "", Supported},
		{"what the catalogue says outright counts", Release{Version: "1.36.1", State: Preview}, "", Preview},
		{"N-4", Release{Version: "1.33.1"}, "", Retired},
		{"a minor of which no dates are known is released", Release{Version: "1.36.1"}, "", Supported},
		{"the third newest patch has no long-term support", Release{Version: "1.34.1", Life: LifeOf("1.34")}, PlanLTS, Platform},
	} {
		releases := dated()
		releases.Releases = append(releases.Releases, c.release)
		if got := releases.StateAt(c.release, c.plan, at("2026-12-24")); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

func TestForLTSOnly(t *testing.T) {
	r, _ := dated().Release("1.34.4")
	if dated().ForLTSOnly(r, at("2026-11-01")) || !dated().ForLTSOnly(r, at("2027-02-01")) || dated().ForLTSOnly(r, at("2028-02-01")) {
		t.Error("1.34 is for long-term support alone from its end of support to that of LTS")
	}
}

func TestDefaultAt(t *testing.T) {
	for _, c := range []struct{ why, now, want string }{
		{"the newest patch of N-1", "2026-12-24", "1.36.4"},
		{"which moves with a release, at once", "2026-10-31", "1.35.4"},
		{"N when N-1 has left support", "2027-08-01", "1.37.4"},
	} {
		if got := dated().DefaultAt(at(c.now)).Version; got != c.want {
			t.Errorf("%s: on %s it is %s, want %s", c.why, c.now, got, c.want)
		}
	}
	alone := &Catalogue{Releases: []Release{{Version: "1.37.2", Life: LifeOf("1.37"), Default: true}}}
	if got := alone.DefaultAt(at("2026-12-24")).Version; got != "1.37.2" {
		t.Errorf("N-1 is not there: %s", got)
	}
	if got := alone.DefaultAt(at("2026-01-01")).Version; got != "1.37.2" {
		t.Errorf("nothing is released yet: %s", got)
	}
}

func TestAliasesLeaveOutWithdrawnPatches(t *testing.T) {
	releases := dated()
	releases.Releases = append(releases.Releases, Release{Version: "1.36.9", Removed: "2030-01-01"})
	if got, ok := releases.Resolve("1.36"); !ok || got.Version != "1.36.4" {
		t.Errorf("1.36 is %q: an alias must not mean a patch that is about to be withdrawn", got.Version)
	}
}

// A version passes its states in one direction, whatever the catalogue holds.
func TestStatesOnlyMoveForward(t *testing.T) {
	order := []State{Preview, Supported, Platform, Retired}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		releases := dated()
		releases.Releases = slices.DeleteFunc(releases.Releases, func(Release) bool { return random.IntN(3) == 0 })
		for _, r := range releases.Releases {
			for _, plan := range []string{PlanOfficial, PlanLTS} {
				last := 0
				for day := at("2025-10-01"); day.Before(at("2030-01-01")); day = day.AddDate(0, 0, 5+random.IntN(20)) {
					now := slices.Index(order, releases.StateAt(r, plan, day))
					if now < last {
						t.Fatalf("%s (%s) went from %s back to %s on %s", r.Version, plan, order[last], order[now], day.Format(time.DateOnly))
					}
					last = now
				}
			}
		}
	}
}
