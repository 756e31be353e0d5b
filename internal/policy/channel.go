package policy

import (
	"fmt"
	"slices"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// The values of autoUpgradeProfile.upgradeChannel (AKS: auto-upgrade-cluster).
const (
	ChannelNone      = "none"
	ChannelPatch     = "patch"      // the newest patch of the minor that runs
	ChannelStable    = "stable"     // the newest patch of N-1
	ChannelRapid     = "rapid"      // the newest patch of N, one minor at a time
	ChannelNodeImage = "node-image" // the node image alone
)

// The values of autoUpgradeProfile.nodeOSUpgradeChannel (AKS:
// auto-upgrade-node-os-image). Berth patches nodes by replacing them:
// SecurityPatch, which in AKS patches in place where it can, is NodeImage here.
// Unmanaged leaves patching to the node's own operating system, daily at about 06:00
// UTC; what of it needs a reboot is the customer's.
const (
	NodeOSNone          = "None"
	NodeOSUnmanaged     = "Unmanaged"
	NodeOSSecurityPatch = "SecurityPatch"
	NodeOSNodeImage     = "NodeImage"
)

// defaultChannels fills in AKS's defaults since 2023-06-01: nodes receive OS
// patches by themselves (E2), Kubernetes versions stay. The channel node-image
// forces the node OS channel, whatever it was.
func defaultChannels(spec *v1beta1.ManagedClusterSpec) {
	if spec.AutoUpgradeProfile == nil {
		spec.AutoUpgradeProfile = &v1beta1.AutoUpgradeProfile{}
	}
	setIfEmpty(&spec.AutoUpgradeProfile.UpgradeChannel, ChannelNone)
	setIfEmpty(&spec.AutoUpgradeProfile.NodeOSUpgradeChannel, NodeOSNodeImage)
	if spec.AutoUpgradeProfile.UpgradeChannel == ChannelNodeImage {
		spec.AutoUpgradeProfile.NodeOSUpgradeChannel = NodeOSNodeImage
	}
}

func validateChannels(out *violations, profile *v1beta1.AutoUpgradeProfile) {
	if profile == nil {
		return
	}
	allow(out, "autoUpgradeProfile.upgradeChannel", profile.UpgradeChannel, ChannelNone, ChannelPatch, ChannelStable, ChannelRapid, ChannelNodeImage)
	allow(out, "autoUpgradeProfile.nodeOSUpgradeChannel", profile.NodeOSUpgradeChannel, NodeOSNone, NodeOSUnmanaged, NodeOSSecurityPatch, NodeOSNodeImage)
}

// UnmanagedOS says whether a cluster's nodes patch their operating system themselves.
func UnmanagedOS(profile *v1beta1.AutoUpgradeProfile) bool {
	return profile != nil && profile.NodeOSUpgradeChannel == NodeOSUnmanaged
}

// ReimagesNodes says whether a change of channels has every node reimaged: one to or
// from Unmanaged (AKS: auto-upgrade-node-os-image, node-disruption-policy).
func ReimagesNodes(before, after *v1beta1.AutoUpgradeProfile) bool {
	return UnmanagedOS(before) != UnmanagedOS(after)
}

// UpgradesVersions says whether a cluster's channel changes its Kubernetes version.
// A cluster without a profile has no channel.
func UpgradesVersions(profile *v1beta1.AutoUpgradeProfile) bool {
	return profile != nil && upgradesByItself(profile.UpgradeChannel)
}

// UpgradesNodeImages says whether a cluster's channels change its node images.
func UpgradesNodeImages(profile *v1beta1.AutoUpgradeProfile) bool {
	return profile != nil && (profile.UpgradeChannel == ChannelNodeImage || slices.Contains([]string{NodeOSSecurityPatch, NodeOSNodeImage}, profile.NodeOSUpgradeChannel))
}

// ChannelTarget is the version that a channel brings to a control plane next, or ""
// when it has that already. Channels follow Kubernetes' own rules: never down, one
// minor at a time. They bring only versions that are generally available and in
// support, and only to versions in support: otherwise blocked says what to do.
func (v Versions) ChannelTarget(channel, running string) (target, blocked string) {
	if !upgradesByItself(channel) {
		return "", ""
	}
	if !v.InSupport(running) {
		return "", fmt.Sprintf("version %s is out of support, which the channel %s does not leave by itself: upgrade the cluster by hand", running, channel)
	}
	most := map[string]int{
		ChannelPatch: minorNumber(running), ChannelStable: minorNumber(v.Catalogue.MinorAt(1, v.Now)), ChannelRapid: minorNumber(v.Catalogue.MinorAt(0, v.Now)),
	}[channel]
	most = min(most, minorNumber(running)+1)
	for _, r := range v.Upgrades(running) {
		if v.Catalogue.StateAt(r, v.Plan, v.Now) == release.Supported && r.Removed == "" && minorNumber(r.Version) <= most {
			target = r.Version
		}
	}
	return target, ""
}

// InSupport says whether a running version's minor is supported. A patch that was
// withdrawn is no reason to stay on it.
func (v Versions) InSupport(running string) bool {
	r, ok := v.Catalogue.Release(running)
	if !ok {
		r = release.Release{Version: running, Life: release.LifeOf(release.Minor(running))}
	}
	r.Removed = ""
	state := v.Catalogue.StateAt(r, v.Plan, v.Now)
	return state == release.Supported || state == release.Preview
}

// minorNumber is the 37 of 1.37 and of 1.37.2.
func minorNumber(version string) int {
	parsed, err := release.Parse(release.Minor(version) + ".0")
	if err != nil {
		return 0
	}
	return parsed[1]
}
