package containerservice

import (
	"maps"
	"slices"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

// oldNames are the names that api-versions before 2023-02-01 had for tiers.
var oldNames = map[string]string{"Basic": "Base", "Paid": "Standard"}

// applyCluster writes what a body says onto a spec: that of the existing cluster,
// or an empty one. What the body leaves out stays, except tags, which a PUT
// replaces.
func applyCluster(body *clusterBody, spec *v1beta1.ManagedClusterSpec) error {
	properties := &body.Properties
	spec.Tags = body.Tags
	replace(&spec.KubernetesVersion, properties.KubernetesVersion)
	replace(&spec.DNSPrefix, properties.DNSPrefix)
	replace(&spec.NodeResourceGroup, properties.NodeResourceGroup)
	if body.SKU != nil {
		spec.SKU = &v1beta1.SKU{Name: renamed(body.SKU.Name), Tier: renamed(body.SKU.Tier)}
	}
	if body.Identity != nil {
		identity, err := identitySpec(body.Identity)
		if err != nil {
			return err
		}
		spec.Identity = identity
	}
	if properties.LinuxProfile != nil {
		profile, err := linuxSpec(properties.LinuxProfile)
		if err != nil {
			return err
		}
		spec.LinuxProfile = profile
	}
	if access := properties.APIServerAccessProfile; access != nil {
		spec.APIServerAccess = &v1beta1.APIServerAccessProfile{AuthorizedIPRanges: access.AuthorizedIPRanges, DisableRunCommand: access.DisableRunCommand}
	}
	replace(&spec.SupportPlan, properties.SupportPlan)
	if profile := properties.AutoUpgradeProfile; profile != nil {
		applyChannels(profile, spec)
	}
	if profile := properties.NodeResourceGroupProfile; profile != nil && profile.RestrictionLevel != "" {
		spec.NodeResourceGroupProfile = &v1beta1.NodeResourceGroupProfile{RestrictionLevel: profile.RestrictionLevel}
	}
	if settings := properties.UpgradeSettings; settings != nil {
		override, err := overrideSpec(settings.OverrideSettings)
		if err != nil {
			return err
		}
		spec.UpgradeSettings = override
	}
	if properties.DisableLocalAccounts != nil {
		spec.DisableLocalAccounts = *properties.DisableLocalAccounts
	}
	if properties.NetworkProfile != nil {
		return applyNetwork(properties.NetworkProfile, &spec.NetworkProfile)
	}
	return nil
}

// applyChannels changes the channels that a body names.
func applyChannels(body *autoUpgradeProfile, spec *v1beta1.ManagedClusterSpec) {
	if spec.AutoUpgradeProfile == nil {
		spec.AutoUpgradeProfile = &v1beta1.AutoUpgradeProfile{}
	}
	replace(&spec.AutoUpgradeProfile.UpgradeChannel, body.UpgradeChannel)
	replace(&spec.AutoUpgradeProfile.NodeOSUpgradeChannel, body.NodeOSUpgradeChannel)
}

func applyNetwork(body *networkProfile, spec *v1beta1.NetworkProfile) error {
	for _, pair := range []struct {
		field string
		one   *string
		many  []string
	}{
		{"networkProfile.podCidrs", &body.PodCIDR, body.PodCIDRs},
		{"networkProfile.serviceCidrs", &body.ServiceCIDR, body.ServiceCIDRs},
	} {
		switch {
		case len(pair.many) > 1 || len(pair.many) == 1 && *pair.one != "" && pair.many[0] != *pair.one:
			return arm.InvalidParameter(pair.field, "The value of parameter %s is invalid: Berth takes one range, the same as in the field for a single one.", pair.field)
		case len(pair.many) == 1:
			*pair.one = pair.many[0]
		}
	}
	replace(&spec.NetworkPlugin, body.NetworkPlugin)
	replace(&spec.NetworkPluginMode, body.NetworkPluginMode)
	replace(&spec.NetworkPolicy, body.NetworkPolicy)
	replace(&spec.NetworkDataplane, body.NetworkDataplane)
	replace(&spec.PodCIDR, body.PodCIDR)
	replace(&spec.ServiceCIDR, body.ServiceCIDR)
	replace(&spec.DNSServiceIP, body.DNSServiceIP)
	replace(&spec.OutboundType, body.OutboundType)
	replace(&spec.LoadBalancerSKU, body.LoadBalancerSKU)
	return nil
}

func identitySpec(body *identityBody) (*v1beta1.Identity, error) {
	identity := &v1beta1.Identity{Type: body.Type, UserAssignedIdentities: slices.Sorted(maps.Keys(body.Assigned))}
	switch {
	case identity.Type == "":
		identity.Type = "SystemAssigned"
	case identity.Type != "SystemAssigned" && identity.Type != "UserAssigned":
		return nil, arm.InvalidParameter("identity.type", "The value of parameter identity.type is invalid: use SystemAssigned or UserAssigned.")
	}
	if assigned := len(identity.UserAssignedIdentities) > 0; assigned != (identity.Type == "UserAssigned") {
		return nil, arm.InvalidParameter("identity.userAssignedIdentities", "The value of parameter identity.userAssignedIdentities is invalid: the type UserAssigned needs identities, and only that type has them.")
	}
	return identity, nil
}

func linuxSpec(body *linuxProfile) (*v1beta1.LinuxProfile, error) {
	profile := &v1beta1.LinuxProfile{AdminUsername: body.AdminUsername}
	for _, key := range body.SSH.PublicKeys {
		text := strings.TrimSpace(key.KeyData)
		if !sshKey(text) {
			return nil, arm.InvalidParameter("linuxProfile.ssh.publicKeys.keyData", "The value of parameter linuxProfile.ssh.publicKeys.keyData is invalid: it must be one line of an OpenSSH public key, such as 'ssh-ed25519 AAAA…'.")
		}
		profile.SSHPublicKeys = append(profile.SSHPublicKeys, text)
	}
	if len(profile.SSHPublicKeys) == 0 {
		return nil, arm.InvalidParameter("linuxProfile.ssh.publicKeys", "The value of parameter linuxProfile.ssh.publicKeys is invalid: give a public key, or leave linuxProfile out.")
	}
	return profile, nil
}

// sshKey says whether a line looks like what sshd reads from authorized_keys. A
// line feed would smuggle in a second key, options in front a command.
func sshKey(line string) bool {
	fields := strings.Fields(line)
	kinds := []string{"ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"}
	return len(fields) >= 2 && !strings.ContainsAny(line, "\r\n\x00") && slices.Contains(kinds, fields[0]) && strings.HasPrefix(fields[1], "AAAA")
}

// applyPool writes what a body says onto a profile: that of the existing pool, or
// an empty one. Labels, taints and tags are replaced (AKS: use-labels); what else
// the body leaves out stays, and so does the version that the pool is shown with.
func applyPool(body *poolProperties, profile *v1beta1.AgentPoolProfile, shown string) error {
	if body.Count != nil {
		profile.Count = body.Count
	}
	replace(&profile.VMSize, body.VMSize)
	replace(&profile.OSDiskSizeGB, body.OSDiskSizeGB)
	replace(&profile.OSDiskType, body.OSDiskType)
	replace(&profile.MaxPods, body.MaxPods)
	replace(&profile.OSType, body.OSType)
	replace(&profile.OSSKU, body.OSSKU)
	replace(&profile.Type, body.Type)
	replace(&profile.Mode, body.Mode)
	replace(&profile.ScaleDownMode, body.ScaleDownMode)
	if asked := valueOf(body.OrchestratorVersion); asked != shown {
		replace(&profile.OrchestratorVersion, asked)
	}
	if body.PowerState != nil && body.PowerState.Code != "" {
		profile.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerCode(body.PowerState.Code)}
	}
	profile.NodeLabels, profile.NodeTaints, profile.Tags = body.NodeLabels, body.NodeTaints, body.Tags
	if body.UpgradeSettings != nil {
		profile.UpgradeSettings = upgradeSpec(body.UpgradeSettings, profile.UpgradeSettings)
	}
	return nil
}

// replace sets a field to what was sent, unless that is the zero value, which
// means "as it is".
func replace[T comparable](field *T, sent T) {
	var zero T
	if sent != zero {
		*field = sent
	}
}

func renamed(name string) string {
	if modern, old := oldNames[name]; old {
		return modern
	}
	return name
}
