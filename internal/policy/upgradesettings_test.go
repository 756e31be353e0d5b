package policy

import (
	"testing"
	"testing/quick"

	"berth.dev/berth/api/v1beta1"
)

func TestUpgradeSettings(t *testing.T) {
	const at = "agentPoolProfile.upgradeSettings."
	for _, c := range []struct {
		why, mode string
		count     int32
		settings  v1beta1.UpgradeSettings
		target    string // empty: allowed
	}{
		{"nothing", "System", 3, v1beta1.UpgradeSettings{}, ""},
		{"a third", "System", 3, v1beta1.UpgradeSettings{MaxSurge: "33%"}, ""},
		{"more than all", "User", 3, v1beta1.UpgradeSettings{MaxSurge: "101%"}, "maxSurge"},
		{"no number", "User", 3, v1beta1.UpgradeSettings{MaxSurge: "some"}, "maxSurge"},
		{"a negative one", "User", 3, v1beta1.UpgradeSettings{MaxUnavailable: "-1"}, "maxUnavailable"},
		{"in place", "User", 3, v1beta1.UpgradeSettings{MaxSurge: "0", MaxUnavailable: "1"}, ""},
		{"in place, the surge left out", "User", 3, v1beta1.UpgradeSettings{MaxUnavailable: "50%"}, ""},
		{"system pods must have somewhere to go", "System", 3, v1beta1.UpgradeSettings{MaxSurge: "0", MaxUnavailable: "1"}, "maxUnavailable"},
		{"both ways at once", "User", 3, v1beta1.UpgradeSettings{MaxSurge: "1", MaxUnavailable: "1"}, "maxUnavailable"},
		{"no way at all", "User", 3, v1beta1.UpgradeSettings{MaxSurge: "0"}, "maxSurge"},
		{"a drain of no time", "User", 3, v1beta1.UpgradeSettings{DrainTimeoutInMinutes: ptr(0)}, "drainTimeoutInMinutes"},
		{"a drain of a day", "User", 3, v1beta1.UpgradeSettings{DrainTimeoutInMinutes: ptr(1440)}, ""},
		{"and of more", "User", 3, v1beta1.UpgradeSettings{DrainTimeoutInMinutes: ptr(1441)}, "drainTimeoutInMinutes"},
		{"a soak of half an hour", "User", 3, v1beta1.UpgradeSettings{NodeSoakDurationInMinutes: ptr(30)}, ""},
		{"and of more", "User", 3, v1beta1.UpgradeSettings{NodeSoakDurationInMinutes: ptr(31)}, "nodeSoakDurationInMinutes"},
		{"quarantine", "User", 3, v1beta1.UpgradeSettings{UndrainableNodeBehavior: "Cordon"}, ""},
		{"an unknown behaviour", "User", 3, v1beta1.UpgradeSettings{UndrainableNodeBehavior: "Delete"}, "undrainableNodeBehavior"},
		{"past 1,000 nodes together", "User", 950, v1beta1.UpgradeSettings{MaxSurge: "51"}, "maxSurge"},
		{"exactly 1,000", "User", 950, v1beta1.UpgradeSettings{MaxSurge: "50"}, ""},
		{"past 1,000 by what is so where nothing is said", "User", 910, v1beta1.UpgradeSettings{}, "maxSurge"},
		{"exactly 1,000 by it", "User", 909, v1beta1.UpgradeSettings{DrainTimeoutInMinutes: ptr(45)}, ""},
		{"a full pool is upgraded in place", "User", 1000, v1beta1.UpgradeSettings{MaxUnavailable: "1"}, ""},
		{"past 1,000 by a percentage", "User", 950, v1beta1.UpgradeSettings{MaxSurge: "10%"}, "maxSurge"},
	} {
		pool := goodPool(c.mode)
		pool.Count, pool.UpgradeSettings = &c.count, &c.settings
		var found violations
		validateUpgradeSettings(&found, *pool)
		if c.target == "" && len(found) > 0 || c.target != "" && !has(found, CodeInvalidParameter, at+c.target) {
			t.Errorf("%s: %v, want %q", c.why, found, c.target)
		}
	}
}

// A pool without upgradeSettings has the default surge.
func TestSurgeRoomOfTheDefault(t *testing.T) {
	for count, refused := range map[int32]bool{909: false, 910: true} {
		pool := goodPool("User")
		pool.Count, pool.UpgradeSettings = &count, nil
		var found violations
		validateUpgradeSettings(&found, *pool)
		if (len(found) > 0) != refused {
			t.Errorf("%d nodes: %v, refused should be %v", count, found, refused)
		}
	}
}

func TestSurge(t *testing.T) {
	for _, c := range []struct {
		why                string
		settings           *v1beta1.UpgradeSettings
		count              int
		surge, unavailable int
	}{
		{"10% rounded up", nil, 3, 1, 0},
		{"10% of eleven", nil, 11, 2, 0},
		{"an empty pool has none", nil, 0, 0, 0},
		{"a number is capped at the pool's size", &v1beta1.UpgradeSettings{MaxSurge: "5"}, 3, 3, 0},
		{"in place without a surge", &v1beta1.UpgradeSettings{MaxUnavailable: "50%"}, 3, 0, 2},
		{"in place with the surge said to be none", &v1beta1.UpgradeSettings{MaxSurge: "0", MaxUnavailable: "1"}, 3, 0, 1},
	} {
		if surge, unavailable := Surge(c.settings, c.count), Unavailable(c.settings, c.count); surge != c.surge || unavailable != c.unavailable {
			t.Errorf("%s: surge %d and %d in place, want %d and %d", c.why, surge, unavailable, c.surge, c.unavailable)
		}
	}
}

// An upgrade that was admitted can always move: it adds a node or takes one away.
func TestAdmittedSettingsReplaceNodes(t *testing.T) {
	texts := []string{"", "0", "1", "7", "1000", "0%", "1%", "33%", "100%"}
	moves := func(surge, unavailable uint8, count uint16, system bool) bool {
		pool := goodPool(map[bool]string{true: "System", false: "User"}[system])
		nodes := int32(count%1000) + 1
		pool.Count = &nodes
		pool.UpgradeSettings = &v1beta1.UpgradeSettings{MaxSurge: texts[int(surge)%len(texts)], MaxUnavailable: texts[int(unavailable)%len(texts)]}
		var found violations
		validateUpgradeSettings(&found, *pool)
		return len(found) > 0 || Surge(pool.UpgradeSettings, int(nodes))+Unavailable(pool.UpgradeSettings, int(nodes)) > 0
	}
	if err := quick.Check(moves, nil); err != nil {
		t.Error(err)
	}
}
