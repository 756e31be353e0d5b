package policy

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

const olderImage, newerImage, newestImage = "BerthDebian-12containerd-202601.01.0", "BerthDebian-12containerd-202602.01.0", "BerthDebian-12containerd-202603.01.0"

var rollbackNow = time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)

func left(kubernetes, image string, days int) []v1beta1.UsedVersion {
	return []v1beta1.UsedVersion{{OrchestratorVersion: kubernetes, NodeImageVersion: image, Timestamp: metav1.NewTime(rollbackNow.AddDate(0, 0, -days))}}
}

// rollback is a pool on 1.37.2 that left 1.36.3 yesterday, beside a control plane of its
// version, and asks for what it had.
func rollback() RollbackInput {
	images := map[string]string{"1.37.2": "37", "1.36.3": "36", "1.32.9": "32"}
	return RollbackInput{
		Kubernetes: "1.36.3", NodeImage: olderImage, ControlPlane: "1.37.2", Window: RollbackWindow(v1beta1.ServicePolicySpec{}),
		Pool: &v1beta1.AgentPoolStatus{CurrentOrchestratorVersion: "1.37.2", NodeImageVersion: newerImage, RecentlyUsedVersions: left("1.36.3", olderImage, 1)},
		Versions: Versions{Now: rollbackNow, Catalogue: &release.Catalogue{
			NodeImageVersion: newestImage,
			NodeImages:       []release.NodeImage{{Version: newestImage, Images: images}, {Version: newerImage, Images: images}, {Version: olderImage, Images: images}},
			Releases:         []release.Release{{Version: "1.37.2"}, {Version: "1.36.3"}, {Version: "1.32.9"}},
		}},
	}
}

func TestRollback(t *testing.T) {
	for _, c := range []struct {
		why    string
		change func(*RollbackInput)
		want   bool
		// refused is in the reason, and offered says whether the pool's pair is listed.
		refused string
		offered bool
	}{
		{"what it had yesterday", func(*RollbackInput) {}, true, "", true},
		{"the last moment of the window", func(in *RollbackInput) { in.Pool.RecentlyUsedVersions = left("1.36.3", olderImage, 7) }, true, "", true},
		{"after the window nothing may happen in silence", func(in *RollbackInput) { in.Pool.RecentlyUsedVersions = left("1.36.3", olderImage, 8) }, false, "more than 7 days ago", false},
		{"the operator's own window", func(in *RollbackInput) { in.Window = time.Hour }, false, "more than 1h0m0s ago", false},
		{"all or nothing: the old version on an image it never had it on", func(in *RollbackInput) { in.NodeImage = newestImage }, false, "recentlyUsedVersions", true},
		{"the old version on the image that runs is a downgrade", func(in *RollbackInput) { in.NodeImage = newerImage }, false, "", true},
		{"one image for both: going back changes the version alone", func(in *RollbackInput) {
			in.NodeImage, in.Pool.RecentlyUsedVersions = newerImage, left("1.36.3", newerImage, 1)
		}, true, "", true},
		{"an older image that it never had is no echo", func(in *RollbackInput) {
			in.Kubernetes, in.Pool.RecentlyUsedVersions = "1.37.2", nil
		}, false, "recentlyUsedVersions", false},
		{"what it has is an echo", func(in *RollbackInput) { in.Kubernetes, in.NodeImage = "1.37.2", newerImage }, false, "", true},
		{"no image is no wish", func(in *RollbackInput) { in.NodeImage = "" }, false, "", true},
		{"an upgrade is none", func(in *RollbackInput) { in.Kubernetes, in.NodeImage = "1.37.3", newestImage }, false, "", true},
		{"a pool that is still being made has no image to leave", func(in *RollbackInput) { in.Pool.NodeImageVersion = "" }, false, "", true},
		{"not two steps", func(in *RollbackInput) {
			in.Pool.RecentlyUsedVersions = append(left("1.37.1", olderImage, 1), left("1.36.3", olderImage, 2)...)
		}, false, "is version 1.37.1", false},
		{"not twice: what it left last is newer by then", func(in *RollbackInput) {
			in.Pool.RecentlyUsedVersions = append(left("1.37.3", newerImage, 1), left("1.36.3", olderImage, 2)...)
		}, false, "is version 1.37.3", false},
		{"a control plane that has moved on", func(in *RollbackInput) {
			in.Kubernetes, in.Pool.RecentlyUsedVersions = "1.32.9", left("1.32.9", olderImage, 1)
		}, false, "incompatible", false},
		{"a version that left support", func(in *RollbackInput) { in.Catalogue.Releases[1].State = release.Platform }, false, "not supported", false},
		{"a withdrawn patch", func(in *RollbackInput) { in.Catalogue.Releases[1].Removed = "2026-03-01" }, false, "not supported", false},
		{"a version that left the catalogue", func(in *RollbackInput) { in.Catalogue.Releases = in.Catalogue.Releases[:1] }, false, "not supported", false},
		{"an image that is not kept any more", func(in *RollbackInput) { in.Catalogue.NodeImages = in.Catalogue.NodeImages[:2] }, false, "not kept", false},
		{"an image that was not built for the version", func(in *RollbackInput) {
			in.Catalogue.NodeImages[2].Images = map[string]string{"1.37.2": "37"}
		}, false, "not kept", false},
		{"a catalogue without images names none", func(in *RollbackInput) { in.Catalogue.NodeImages = nil }, true, "", true},
		{"a channel would undo it; without, the pair can be had", func(in *RollbackInput) {
			in.AutoUpgrade = &v1beta1.AutoUpgradeProfile{UpgradeChannel: ChannelStable}
		}, false, "channel stable", true},
		{"the node OS channel leaves the version", func(in *RollbackInput) {
			in.AutoUpgrade = &v1beta1.AutoUpgradeProfile{UpgradeChannel: ChannelNone, NodeOSUpgradeChannel: NodeOSNodeImage}
		}, true, "", true},
		{"the node OS channel would undo an image alone", func(in *RollbackInput) {
			in.AutoUpgrade = &v1beta1.AutoUpgradeProfile{UpgradeChannel: ChannelNone, NodeOSUpgradeChannel: NodeOSSecurityPatch}
			in.Kubernetes, in.Pool.RecentlyUsedVersions = "1.37.2", left("1.37.2", olderImage, 1)
		}, false, "channel SecurityPatch", true},
		{"an image alone, and no channel", func(in *RollbackInput) {
			in.AutoUpgrade = &v1beta1.AutoUpgradeProfile{UpgradeChannel: ChannelNone, NodeOSUpgradeChannel: NodeOSNone}
			in.Kubernetes, in.Pool.RecentlyUsedVersions = "1.37.2", left("1.37.2", olderImage, 1)
		}, true, "", true},
	} {
		in := rollback()
		c.change(&in)
		got, found := Rollback(in)
		if got != c.want || len(found) > 1 || (len(found) == 1) != (c.refused != "") {
			t.Errorf("%s: %v, refused for %v", c.why, got, found)
			continue
		}
		if c.refused != "" && !strings.Contains(found[0].Message, c.refused) {
			t.Errorf("%s: refused for %q, want %q in it", c.why, found[0].Message, c.refused)
		}
		used, offered := RollbackTo(in)
		if offered != c.offered || offered && used != in.Pool.RecentlyUsedVersions[0] {
			t.Errorf("%s: offers %v %v", c.why, used, offered)
		}
	}
}

// Every bar has a case that it alone holds up.
func TestRollbackBars(t *testing.T) {
	seen := map[int]bool{}
	for _, change := range []func(*RollbackInput){
		func(in *RollbackInput) { in.NodeImage = newestImage },
		func(in *RollbackInput) {
			in.Pool.RecentlyUsedVersions = append(left("1.37.1", olderImage, 1), left("1.36.3", olderImage, 2)...)
		},
		func(in *RollbackInput) { in.Window = 0 },
		func(in *RollbackInput) { in.ControlPlane = "1.40.0" },
		func(in *RollbackInput) { in.Catalogue.Releases[1].State = release.Retired },
		func(in *RollbackInput) { in.Catalogue.NodeImages = in.Catalogue.NodeImages[:1] },
		func(in *RollbackInput) { in.AutoUpgrade = &v1beta1.AutoUpgradeProfile{UpgradeChannel: ChannelPatch} },
		func(in *RollbackInput) {
			in.AutoUpgrade = &v1beta1.AutoUpgradeProfile{NodeOSUpgradeChannel: NodeOSNodeImage}
			in.Kubernetes, in.Pool.RecentlyUsedVersions = "1.37.2", left("1.37.2", olderImage, 1)
		},
	} {
		in := rollback()
		change(&in)
		for i, bar := range rollbackBars {
			// Those behind the first one count on what it has made sure of.
			if bar.holds(in) {
				seen[i] = true
				break
			}
		}
	}
	if len(seen) != len(rollbackBars) {
		t.Errorf("bars that hold: %v of %d", seen, len(rollbackBars))
	}
}
