package policy

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

func TestValidateUpgrade(t *testing.T) {
	for _, c := range []struct {
		why, running, wanted, channel string
		pools                         []PoolVersion // Asked is Running when it is empty
		code                          string        // empty: allowed
	}{
		{why: "the control plane alone", running: "1.36.3", wanted: "1.37.2", pools: []PoolVersion{{Running: "1.36.3", Wanted: "1.36.3"}}},
		{why: "the whole cluster", running: "1.36.3", wanted: "1.37.2", pools: []PoolVersion{{Running: "1.36.3", Wanted: "1.37.2"}, {Running: "1.35.4", Wanted: "1.37.2"}}},
		{why: "the pools after the control plane", running: "1.36.3", wanted: "1.36.3", pools: []PoolVersion{{Running: "1.35.4", Wanted: "1.36.3"}}},
		{why: "nothing", running: "1.36.3", wanted: "1.36", pools: []PoolVersion{{Running: "1.35.4", Wanted: "1.35.4"}}},
		{why: "a minor as its newest patch", running: "1.36.3", wanted: "1.37"},
		{why: "a patch", running: "1.36.3", wanted: "1.36.4"},
		{why: "two minors", running: "1.35.4", wanted: "1.37.2", code: CodeOperationNotAllowed},
		{why: "down a minor", running: "1.37.2", wanted: "1.36.3", code: CodeOperationNotAllowed},
		{why: "down a patch", running: "1.36.4", wanted: "1.36.3", code: CodeOperationNotAllowed},
		{why: "to what was withdrawn", running: "1.36.3", wanted: "1.36.9", code: CodeOperationNotAllowed},
		{why: "to what there is not", running: "1.36.3", wanted: "1.99", code: CodeVersionNotSupported},
		{why: "some pools with it", running: "1.36.3", wanted: "1.37.2", pools: []PoolVersion{{Running: "1.36.3", Wanted: "1.37.2"}, {Running: "1.36.3", Wanted: "1.36.3"}}, code: CodeNotAllPools},
		{why: "one pool to a version of its own", running: "1.36.3", wanted: "1.36.3", pools: []PoolVersion{{Running: "1.35.4", Wanted: "1.36.0"}}, code: CodeNotAllPools},
		{why: "a pool that has an upgrade of its own before it is left alone", running: "1.36.3", wanted: "1.37.2", pools: []PoolVersion{{Running: "1.35.4", Asked: "1.36.3", Wanted: "1.36.3"}}},
		{why: "and may give it up", running: "1.36.3", wanted: "1.37.2", pools: []PoolVersion{{Running: "1.35.4", Asked: "1.36.3", Wanted: "1.35.4"}}},
		{why: "the control plane alone under a channel", running: "1.36.3", wanted: "1.37.2", channel: "stable", pools: []PoolVersion{{Running: "1.36.3", Wanted: "1.36.3"}}, code: CodeNotAllPools},
		{why: "the whole cluster under a channel", running: "1.36.3", wanted: "1.37.2", channel: "stable", pools: []PoolVersion{{Running: "1.36.3", Wanted: "1.37.2"}}},
		{why: "a channel of node images changes no versions", running: "1.36.3", wanted: "1.37.2", channel: "node-image", pools: []PoolVersion{{Running: "1.36.3", Wanted: "1.36.3"}}},
		{why: "a pool that would be left four minors behind", running: "1.36.3", wanted: "1.37.2", pools: []PoolVersion{{Running: "1.33.1", Wanted: "1.33.1"}}, code: CodePoolNewerThanCluster},
		{why: "out of support the whole cluster may skip minors", running: "1.32.1", wanted: "1.35.4", pools: []PoolVersion{{Running: "1.32.1", Wanted: "1.35.4"}}},
		{why: "but not the control plane alone", running: "1.32.1", wanted: "1.35.4", pools: []PoolVersion{{Running: "1.32.1", Wanted: "1.32.1"}}, code: CodeOperationNotAllowed},
	} {
		for i := range c.pools {
			c.pools[i].Name = "np1"
			if c.pools[i].Asked == "" {
				c.pools[i].Asked = c.pools[i].Running
			}
		}
		found := ValidateUpgrade(UpgradeInput{Versions: versions(), Name: "c1", Running: c.running, Wanted: c.wanted, Pools: c.pools, Channel: c.channel})
		if c.code == "" && len(found) > 0 || c.code != "" && (len(found) == 0 || found[0].Code != c.code) {
			t.Errorf("%s: %v, want %q", c.why, found, c.code)
		}
	}
}

// Under long-term support the whole cluster may skip minors, and no part of it alone.
func TestLongTermSupportSkipsWithTheWholeCluster(t *testing.T) {
	v := versions()
	v.Plan = release.PlanLTS
	for _, c := range []struct{ why, pool, code string }{
		{"the whole cluster", "1.37.2", ""},
		{"the control plane alone", "1.35.4", CodeOperationNotAllowed},
	} {
		found := ValidateUpgrade(UpgradeInput{
			Versions: v, Name: "c1", Running: "1.35.4", Wanted: "1.37.2",
			Pools: []PoolVersion{{Name: "np1", Running: "1.35.4", Asked: "1.35.4", Wanted: c.pool}},
		})
		if c.code == "" && len(found) > 0 || c.code != "" && (len(found) == 0 || found[0].Code != c.code) {
			t.Errorf("%s: %v, want %q", c.why, found, c.code)
		}
	}
}

// A refusal says what would be right.
func TestRefusedUpgradesListTheAllowed(t *testing.T) {
	found := ValidateUpgrade(UpgradeInput{Versions: versions(), Name: "c1", Running: "1.35.4", Wanted: "1.37.2"})
	want := "Upgrading Kubernetes version 1.35.4 to 1.37.2 is not allowed. Available upgrades: [1.36.3 1.36.4]"
	if len(found) != 1 || !strings.HasPrefix(found[0].Message, want) {
		t.Errorf("got %v, want %q", found, want)
	}
}

func TestValidatePoolUpgrade(t *testing.T) {
	for _, c := range []struct{ why, running, asked, controlPlane, code string }{
		{"to the control plane", "1.35.4", "1.36.3", "1.36.3", ""},
		{"by an alias", "1.35.4", "1.36", "1.36.3", ""},
		{"past the control plane", "1.36.3", "1.37.2", "1.36.3", CodePoolNewerThanCluster},
		{"down", "1.36.4", "1.36.3", "1.36.4", CodePoolUpgradePath},
		{"to what there is not", "1.35.4", "1.99", "1.36.3", CodePoolVersionNotSupported},
		{"to what is only kept alive", "1.33.1", "1.34.9", "1.36.3", CodePoolVersionNotSupported},
		{"to the control plane, though that is only kept alive", "1.33.1", "1.34.9", "1.34.9", ""},
		{"the alias of what runs", "1.35.4", "1.35", "1.36.3", ""},
	} {
		old, asked := goodPool("System"), goodPool("System")
		asked.OrchestratorVersion = c.asked
		in := PoolInput{Old: old, New: asked, Running: c.running, Around: around()}
		in.Around.ClusterVersion = c.controlPlane
		found := ValidatePool(in)
		if c.code == "" && len(found) > 0 || c.code != "" && !has(found, c.code, "properties.orchestratorVersion") {
			t.Errorf("%s: %v, want %q", c.why, found, c.code)
		}
	}
}

func TestUpgradeForced(t *testing.T) {
	for _, c := range []struct {
		why      string
		settings *v1beta1.ClusterUpgradeSettings
		want     bool
	}{
		{"nothing was asked for", nil, false},
		{"until tomorrow", override(today.AddDate(0, 0, 1)), true},
		{"until now", override(today), false},
		{"without an end it has no effect", &v1beta1.ClusterUpgradeSettings{OverrideSettings: &v1beta1.UpgradeOverrideSettings{ForceUpgrade: true}}, false},
		{"an end alone forces nothing", &v1beta1.ClusterUpgradeSettings{OverrideSettings: &v1beta1.UpgradeOverrideSettings{Until: override(today.Add(time.Hour)).OverrideSettings.Until}}, false},
	} {
		if got := UpgradeForced(c.settings, today); got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
	}
}
