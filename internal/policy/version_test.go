package policy

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"berth.dev/berth/internal/release"
)

func versions() Versions { return Versions{Catalogue: catalogue, Now: today} }

func TestUpgrades(t *testing.T) {
	for _, c := range []struct {
		why, running string
		want         []string
	}{
		{"newer patches and the next minor", "1.35.1", []string{"1.35.4", "1.36.3", "1.36.4"}},
		{"one minor at a time", "1.35.4", []string{"1.36.3", "1.36.4"}},
		{"the last patch of a minor", "1.36.4", []string{"1.37.2"}},
		{"previews can be had", "1.37.2", []string{"1.38.0"}},
		{"the newest", "1.38.0", []string{}},
		{"platform support leads out by one minor", "1.34.9", []string{"1.35.4"}},
		{"from out of support to the oldest in support, skipping minors", "1.32.1", []string{"1.35.4"}},
		{"also when the catalogue has forgotten it", "1.30.0", []string{"1.35.4"}},
		{"a withdrawn patch leads where its minor does", "1.36.9", []string{"1.37.2"}},
		{"no version", "x", []string{}},
	} {
		if got := Names(versions().Upgrades(c.running)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: from %s to %v, want %v", c.why, c.running, got, c.want)
		}
	}
}

// Long-term support leads past minors, to what it supports and nodes may stay behind.
func TestUpgradesUnderLongTermSupport(t *testing.T) {
	v := versions()
	v.Plan = release.PlanLTS
	for _, c := range []struct {
		why, running string
		want         []string
	}{
		{"every later minor in support", "1.34.9", []string{"1.35.4", "1.36.3", "1.36.4", "1.37.2"}},
		{"a preview is next or not at all", "1.36.4", []string{"1.37.2"}},
		{"a preview can be next", "1.37.2", []string{"1.38.0"}},
		{"no further than nodes may stay behind", "1.33.1", []string{"1.34.9", "1.35.4", "1.36.3", "1.36.4"}},
	} {
		if got := Names(v.Upgrades(c.running)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: from %s to %v, want %v", c.why, c.running, got, c.want)
		}
	}
	if target, blocked := v.ChannelTarget(ChannelRapid, "1.35.4"); target != "1.36.4" || blocked != "" {
		t.Errorf("a channel leads from 1.35.4 to %q, %q: one minor at a time", target, blocked)
	}
}

// Everything that is listed can be had under the plans that it is listed with.
func TestSupportPlans(t *testing.T) {
	both := []string{release.PlanOfficial, release.PlanLTS}
	for _, c := range []struct {
		why, version string
		want         []string
	}{
		{"a preview has no long-term support", "1.38.0", both[:1]},
		{"every supported version is eligible", "1.37.2", both},
		{"also one that is not of the two newest patches yet", "1.36.3", both},
		{"past its end of support", "1.34.9", both[1:]},
		{"withdrawn", "1.36.9", nil},
		{"too old for any", "1.32.1", nil},
	} {
		r, ok := catalogue.Release(c.version)
		if got := versions().SupportPlans(r); !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %s has %v, want %v", c.why, c.version, got, c.want)
		}
	}
}

func TestNextStep(t *testing.T) {
	for _, c := range []struct{ why, running, target, want string }{
		{"nothing changes", "1.36.3", "1.36.3", "1.36.3"},
		{"a patch", "1.36.3", "1.36.4", "1.36.4"},
		{"the next minor", "1.36.3", "1.37.2", "1.37.2"},
		{"through the newest patch of the minor between, not one that was withdrawn", "1.35.4", "1.37.2", "1.36.4"},
		{"one after the other", "1.34.9", "1.37.2", "1.35.4"},
		{"a minor that is not known is left out", "1.30.0", "1.33.1", "1.32.1"},
		{"all of them", "1.30.0", "1.32.1", "1.32.1"},
		{"a new cluster", "", "1.37.2", "1.37.2"},
	} {
		target, _ := catalogue.Release(c.target)
		if got := NextStep(catalogue, c.running, target); got.Version != c.want {
			t.Errorf("%s: from %q to %s by %s, want %s", c.why, c.running, c.target, got.Version, c.want)
		}
	}
}

func TestPoolUpgrades(t *testing.T) {
	for _, c := range []struct {
		why, running, controlPlane string
		want                       []string
	}{
		{"nodes may skip minors, up to the control plane", "1.34.9", "1.37.2", []string{"1.35.4", "1.36.3", "1.36.4", "1.37.2"}},
		{"never past it", "1.36.3", "1.36.3", []string{}},
		{"the control plane's own version, whatever its state", "1.32.1", "1.33.1", []string{"1.33.1"}},
	} {
		if got := Names(versions().PoolUpgrades(c.running, c.controlPlane)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: from %s under %s to %v, want %v", c.why, c.running, c.controlPlane, got, c.want)
		}
	}
	if got, want := Names(versions().PoolVersions("1.36.4")), []string{"1.36.4", "1.36.3", "1.35.4"}; !reflect.DeepEqual(got, want) {
		t.Errorf("a new pool can have %v, want %v: neither what is newer nor what is only kept alive", got, want)
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		why, asked, running, want string
		ok                        bool
	}{
		{"nothing changes nothing", "", "1.36.3", "1.36.3", true},
		{"the alias of what runs never upgrades", "1.36", "1.36.3", "1.36.3", true},
		{"another alias is its newest patch", "1.36", "1.35.4", "1.36.4", true},
		{"what runs is known though the catalogue has forgotten it", "1.30.0", "1.30.0", "1.30.0", true},
		{"an unknown version", "1.99", "1.36.3", "", false},
		{"nothing for a new cluster is the default", "", "", "1.36.4", true},
	} {
		if got, ok := versions().Target(c.asked, c.running); got != c.want || ok != c.ok {
			t.Errorf("%s: Target(%q, %q) = %q, %v", c.why, c.asked, c.running, got, ok)
		}
	}
	for _, c := range []struct {
		why, asked, running, controlPlane, want string
		ok                                      bool
	}{
		{"a new pool matches its control plane", "", "", "1.36.3", "1.36.3", true},
		{"its alias does not pass the control plane's patch", "1.36", "", "1.36.3", "1.36.3", true},
		{"a pool that is there stays", "", "1.35.4", "1.36.3", "1.35.4", true},
		{"an alias brings it to the control plane", "1.36", "1.35.4", "1.36.3", "1.36.3", true},
		{"an unknown version", "1.99", "1.35.4", "1.36.3", "", false},
		{"a control plane that is not known yet", "", "", "", "", false},
	} {
		if got, ok := versions().PoolTarget(c.asked, c.running, c.controlPlane); got != c.want || ok != c.ok {
			t.Errorf("%s: PoolTarget(%q, %q, %q) = %q, %v", c.why, c.asked, c.running, c.controlPlane, got, ok)
		}
	}
}

// What may be asked for never leads down, never skips a supported minor and never
// puts a pool where its control plane does not allow it, whatever the catalogue
// holds and however often one upgrades.
func TestUpgradePathsKeepTheRules(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		v := Versions{Now: today.AddDate(0, random.IntN(24)-12, random.IntN(30)), Catalogue: &release.Catalogue{}}
		for _, r := range catalogue.Releases {
			if random.IntN(4) > 0 {
				v.Catalogue.Releases = append(v.Catalogue.Releases, r)
			}
		}
		if random.IntN(2) == 0 {
			v.Plan = release.PlanLTS
		}
		for _, r := range v.Catalogue.Releases {
			checkPath(t, v, r.Version)
		}
	}
}

// checkSteps walks to a version: always up, past no minor that is known.
func checkSteps(t *testing.T, c *release.Catalogue, running string, target release.Release) {
	t.Helper()
	for at := running; at != target.Version; {
		step := NextStep(c, at, target)
		passed := slices.ContainsFunc(c.Releases, func(r release.Release) bool {
			return r.Removed == "" && minorsBetween(at, r.Version) > 0 && minorsBetween(r.Version, step.Version) > 0
		})
		if release.Compare(step.Version, at) <= 0 || release.Compare(step.Version, target.Version) > 0 || passed {
			t.Fatalf("from %s to %s by %s", at, target.Version, step.Version)
		}
		at = step.Version
	}
}

func checkPath(t *testing.T, v Versions, running string) {
	t.Helper()
	for steps := 0; ; steps++ {
		upgrades := v.Upgrades(running)
		if len(upgrades) == 0 {
			return
		}
		if steps > len(v.Catalogue.Releases) {
			t.Fatalf("upgrading from %s never ends", running)
		}
		for _, next := range upgrades {
			skips := minorsBetween(running, next.Version) > 1
			if release.Compare(next.Version, running) <= 0 || skips && !v.outOfSupport(running) && v.Plan == "" || !v.Catalogue.Offered(next, v.Plan, v.Now) {
				t.Fatalf("%s may become %s on %s", running, next.Version, v.Now)
			}
			checkSteps(t, v.Catalogue, running, next)
			for _, pool := range v.PoolUpgrades(running, next.Version) {
				if !SkewAllowed(next.Version, pool.Version) || release.Compare(pool.Version, running) <= 0 {
					t.Fatalf("a pool on %s may become %s under %s", running, pool.Version, next.Version)
				}
			}
		}
		if !slices.ContainsFunc(v.PoolUpgrades(running, upgrades[0].Version), func(r release.Release) bool { return r.Version == upgrades[0].Version }) {
			t.Fatalf("pools cannot follow from %s to %s", running, upgrades[0].Version)
		}
		running = upgrades[0].Version
	}
}
