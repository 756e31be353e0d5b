package policy

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

func versionsOf(names ...string) Versions {
	catalogue := &release.Catalogue{}
	for _, name := range names {
		version, mark, _ := strings.Cut(name, " ")
		made := release.Release{Version: version}
		switch mark {
		case "preview":
			made.State = release.Preview
		case "removed":
			made.Removed = "2026-01-01"
		}
		catalogue.Releases = append(catalogue.Releases, made)
	}
	return Versions{Catalogue: catalogue, Now: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)}
}

func TestChannelTarget(t *testing.T) {
	aks := versionsOf("1.17.7", "1.17.9", "1.18.4", "1.18.6", "1.19.1")
	ours := versionsOf("1.34.3", "1.35.4", "1.36.1", "1.36.3", "1.37.0", "1.37.2", "1.38.0 preview")
	for _, c := range []struct {
		why                    string
		versions               Versions
		channel, running, want string
		blocked                bool
	}{
		{"AKS's own example: patch stays in its minor", aks, ChannelPatch, "1.17.7", "1.17.9", false},
		{"stable goes to N-1", aks, ChannelStable, "1.17.7", "1.18.6", false},
		{"rapid goes to N by way of N-1", aks, ChannelRapid, "1.17.7", "1.18.6", false},
		{"and then to N", aks, ChannelRapid, "1.18.6", "1.19.1", false},
		{"none does nothing", aks, ChannelNone, "1.17.7", "", false},
		{"node-image leaves the version alone", aks, ChannelNodeImage, "1.17.7", "", false},
		{"no channel is none", aks, "", "1.17.7", "", false},
		{"the newest patch has nothing to come", ours, ChannelPatch, "1.37.2", "", false},
		{"a preview is not generally available", ours, ChannelRapid, "1.37.2", "", false},
		{"stable never goes down from N", ours, ChannelStable, "1.37.0", "", false},
		{"stable at N-1 takes its patches", ours, ChannelStable, "1.36.1", "1.36.3", false},
		{"rapid at N takes its patches", ours, ChannelRapid, "1.37.0", "1.37.2", false},
		{"rapid from N-2", ours, ChannelRapid, "1.35.4", "1.36.3", false},
		{"N-3 is out of support", ours, ChannelRapid, "1.34.3", "", true},
		{"so is what the catalogue has forgotten", ours, ChannelPatch, "1.33.1", "", true},
		{"a withdrawn patch is left", versionsOf("1.36.2 removed", "1.36.3", "1.37.2"), ChannelPatch, "1.36.2", "1.36.3", false},
		{"and never brought", versionsOf("1.36.2", "1.36.3 removed", "1.37.2"), ChannelPatch, "1.36.2", "", false},
		{"no minor is skipped when N-1 is missing", versionsOf("1.35.4", "1.37.2"), ChannelRapid, "1.35.4", "", false},
	} {
		got, blocked := c.versions.ChannelTarget(c.channel, c.running)
		if got != c.want || (blocked != "") != c.blocked {
			t.Errorf("%s: %s from %s: %q, %q", c.why, c.channel, c.running, got, blocked)
		}
	}
}

// Whatever the catalogue, a channel brings only what a customer could ask for by
// hand, always something newer, and comes to rest where its definition says.
func TestChannelsComeToRest(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		newest := 20 + r.IntN(10)
		var names []string
		for minor := newest - 2; minor <= newest; minor++ {
			for patch := range 1 + r.IntN(4) {
				names = append(names, "1."+strconv.Itoa(minor)+"."+strconv.Itoa(patch))
			}
		}
		v := versionsOf(names...)
		start := names[r.IntN(len(names))]
		for channel, last := range map[string]int{ChannelPatch: minorNumber(start), ChannelStable: max(minorNumber(start), newest-1), ChannelRapid: newest} {
			running, steps := start, 0
			for {
				target, blocked := v.ChannelTarget(channel, running)
				if blocked != "" {
					t.Fatalf("seed %d: %s from %s is blocked: %s", seed, channel, running, blocked)
				}
				if target == "" {
					break
				}
				if !slices.Contains(Names(v.Upgrades(running)), target) {
					t.Fatalf("seed %d: %s brings %s to %s, which nobody could ask for", seed, channel, running, target)
				}
				if running, steps = target, steps+1; steps > 3 {
					t.Fatalf("seed %d: %s never comes to rest", seed, channel)
				}
			}
			resting, _ := v.Catalogue.LatestPatch("1." + strconv.Itoa(last))
			if channel == ChannelStable && minorNumber(start) == newest {
				resting.Version = start
			}
			if running != resting.Version {
				t.Errorf("seed %d: %s from %s rests at %s, want %s", seed, channel, start, running, resting.Version)
			}
		}
	}
}

// What a profile means, and what it becomes.
func TestChannels(t *testing.T) {
	for _, c := range []struct {
		why              string
		in               *v1beta1.AutoUpgradeProfile
		out              v1beta1.AutoUpgradeProfile
		versions, images bool
		refused          bool
	}{
		{"AKS's defaults patch nodes and leave versions", nil, v1beta1.AutoUpgradeProfile{UpgradeChannel: "none", NodeOSUpgradeChannel: "NodeImage"}, false, true, false},
		{"what is set stays", &v1beta1.AutoUpgradeProfile{UpgradeChannel: "rapid", NodeOSUpgradeChannel: "None"},
			v1beta1.AutoUpgradeProfile{UpgradeChannel: "rapid", NodeOSUpgradeChannel: "None"}, true, false, false},
		{"node-image forces NodeImage", &v1beta1.AutoUpgradeProfile{UpgradeChannel: "node-image", NodeOSUpgradeChannel: "None"},
			v1beta1.AutoUpgradeProfile{UpgradeChannel: "node-image", NodeOSUpgradeChannel: "NodeImage"}, false, true, false},
		{"SecurityPatch replaces nodes", &v1beta1.AutoUpgradeProfile{NodeOSUpgradeChannel: "SecurityPatch"},
			v1beta1.AutoUpgradeProfile{UpgradeChannel: "none", NodeOSUpgradeChannel: "SecurityPatch"}, false, true, false},
		{"Unmanaged leaves node images to the node itself", &v1beta1.AutoUpgradeProfile{NodeOSUpgradeChannel: "Unmanaged"},
			v1beta1.AutoUpgradeProfile{UpgradeChannel: "none", NodeOSUpgradeChannel: "Unmanaged"}, false, false, false},
		{"a channel that AKS does not have", &v1beta1.AutoUpgradeProfile{UpgradeChannel: "fast"},
			v1beta1.AutoUpgradeProfile{UpgradeChannel: "fast", NodeOSUpgradeChannel: "NodeImage"}, false, true, true},
	} {
		spec := &v1beta1.ManagedClusterSpec{AutoUpgradeProfile: c.in}
		defaultChannels(spec)
		defaultChannels(spec)
		var refused violations
		validateChannels(&refused, spec.AutoUpgradeProfile)
		if *spec.AutoUpgradeProfile != c.out || UpgradesVersions(spec.AutoUpgradeProfile) != c.versions ||
			UpgradesNodeImages(spec.AutoUpgradeProfile) != c.images || (len(refused) > 0) != c.refused {
			t.Errorf("%s: %+v, versions %t, images %t, %v", c.why, *spec.AutoUpgradeProfile, UpgradesVersions(spec.AutoUpgradeProfile), UpgradesNodeImages(spec.AutoUpgradeProfile), refused)
		}
	}
	if UpgradesVersions(nil) || UpgradesNodeImages(nil) || UnmanagedOS(nil) {
		t.Error("a cluster from before channels must be left alone")
	}
}

// A change to or from Unmanaged has the nodes reimaged, and no other.
func TestReimagesNodes(t *testing.T) {
	channels := []string{NodeOSNone, NodeOSUnmanaged, NodeOSSecurityPatch, NodeOSNodeImage}
	for _, before := range channels {
		for _, after := range channels {
			want := (before == NodeOSUnmanaged) != (after == NodeOSUnmanaged)
			if ReimagesNodes(&v1beta1.AutoUpgradeProfile{NodeOSUpgradeChannel: before}, &v1beta1.AutoUpgradeProfile{NodeOSUpgradeChannel: after}) != want {
				t.Errorf("%s to %s: want %t", before, after, want)
			}
		}
	}
	if ReimagesNodes(nil, nil) || !ReimagesNodes(nil, &v1beta1.AutoUpgradeProfile{NodeOSUpgradeChannel: NodeOSUnmanaged}) {
		t.Error("a cluster from before channels")
	}
}
