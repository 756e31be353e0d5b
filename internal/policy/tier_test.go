package policy

import (
	"testing"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// Every tier may be asked for; long-term support belongs to one of them (AKS:
// long-term-support).
func TestTiersAndPlans(t *testing.T) {
	for _, tier := range []string{v1beta1.TierFree, v1beta1.TierStandard, v1beta1.TierPremium} {
		for _, plan := range []string{release.PlanOfficial, release.PlanLTS} {
			in := goodCluster()
			in.New.SKU.Tier, in.New.SupportPlan = tier, plan
			allowed := plan == release.PlanOfficial || tier == v1beta1.TierPremium
			if found := ValidateCluster(in); (len(found) == 0) != allowed {
				t.Errorf("%s with %s: %v", tier, plan, found)
			}
		}
	}
}

// Long-term support is left by upgrading first where it alone covers what runs.
func TestLeavingLongTermSupport(t *testing.T) {
	for _, c := range []struct {
		why, running string
		allowed      bool
	}{
		{"the community still supports the version", "1.36.3", true},
		{"long-term support alone does", "1.34.9", false},
	} {
		in := goodCluster()
		in.Running, in.New.SKU.Tier, in.New.KubernetesVersion = c.running, v1beta1.TierPremium, c.running
		in.Old = in.New.DeepCopy()
		in.Old.SupportPlan = release.PlanLTS
		if !in.Catalogue.ForLTSOnly(mustRelease(t, c.running), in.Now) != c.allowed {
			t.Fatalf("%s: the table does not fit the catalogue", c.why)
		}
		if found := ValidateCluster(in); has(found, CodeVersionNotSupported, "supportPlan") == c.allowed {
			t.Errorf("%s: %v", c.why, found)
		}
	}
}

func mustRelease(t *testing.T, version string) release.Release {
	t.Helper()
	r, ok := catalogue.Release(version)
	if !ok {
		t.Fatalf("no release %s", version)
	}
	return r
}
