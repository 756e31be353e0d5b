package cli

import (
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// channelOptions are the flags of what Berth upgrades by itself.
type channelOptions struct{ upgrade, nodeOS string }

func (o *channelOptions) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&o.upgrade, "auto-upgrade-channel", "", "versions that the cluster gets by itself: none, patch, stable, rapid or node-image")
	flags.StringVar(&o.nodeOS, "node-os-upgrade-channel", "", "node images that the pools get by themselves: None, SecurityPatch or NodeImage")
	offer(command, "auto-upgrade-channel", "none", "patch", "stable", "rapid", "node-image")
	offer(command, "node-os-upgrade-channel", "None", "Unmanaged", "SecurityPatch", "NodeImage")
}

func (o *channelOptions) given(flags *pflag.FlagSet) bool {
	return flags.Changed("auto-upgrade-channel") || flags.Changed("node-os-upgrade-channel")
}

// apply sets the channels that were given and leaves the others.
func (o *channelOptions) apply(cluster *armcontainerservice.ManagedClusterProperties) {
	if o.upgrade == "" && o.nodeOS == "" {
		return
	}
	if cluster.AutoUpgradeProfile == nil {
		cluster.AutoUpgradeProfile = &armcontainerservice.ManagedClusterAutoUpgradeProfile{}
	}
	if o.upgrade != "" {
		channel := armcontainerservice.UpgradeChannel(o.upgrade)
		cluster.AutoUpgradeProfile.UpgradeChannel = &channel
	}
	if o.nodeOS != "" {
		channel := armcontainerservice.NodeOSUpgradeChannel(o.nodeOS)
		cluster.AutoUpgradeProfile.NodeOSUpgradeChannel = &channel
	}
}
