package cli

import (
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	flagTier = "tier"
	flagPlan = "k8s-support-plan"
)

// tierOptions are the flags of a cluster's tier and support plan, as az has them.
type tierOptions struct{ tier, plan string }

func (o *tierOptions) register(command *cobra.Command) {
	command.Flags().StringVar(&o.tier, flagTier, "", "free, standard or premium: the last two have a control plane of three replicas")
	command.Flags().StringVar(&o.plan, flagPlan, "", "KubernetesOfficial, or AKSLongTermSupport with the tier premium")
	offer(command, flagTier, "free", "standard", "premium")
	offer(command, flagPlan, "KubernetesOfficial", "AKSLongTermSupport")
}

func (o *tierOptions) given(flags *pflag.FlagSet) bool {
	return flags.Changed(flagTier) || flags.Changed(flagPlan)
}

// apply leaves alone what was not given.
func (o *tierOptions) apply(cluster *armcontainerservice.ManagedCluster) {
	if o.tier != "" {
		base := armcontainerservice.ManagedClusterSKUNameBase
		tier := armcontainerservice.ManagedClusterSKUTier(strings.ToUpper(o.tier[:1]) + strings.ToLower(o.tier[1:]))
		cluster.SKU = &armcontainerservice.ManagedClusterSKU{Name: &base, Tier: &tier}
	}
	if o.plan != "" {
		plan := armcontainerservice.KubernetesSupportPlan(o.plan)
		cluster.Properties.SupportPlan = &plan
	}
}
