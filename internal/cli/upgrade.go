package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
)

// clusterUpgradeOptions are the flags of `berth cluster upgrade`.
type clusterUpgradeOptions struct {
	version                     string
	controlPlaneOnly, imageOnly bool
	dontWait                    bool
}

func (s *session) clusterUpgrade() *cobra.Command {
	var ref clusterRef
	var options clusterUpgradeOptions
	var sure, dontWait *bool
	command := s.verb("upgrade", "Upgrade a cluster and its pools to another version, or its node images", func(ctx context.Context, c *clients) error {
		options.dontWait = *dontWait
		if options.controlPlaneOnly && options.imageOnly {
			return usageError{errors.New("--control-plane-only and --node-image-only are two things; give one")}
		}
		if options.version == "" && !options.imageOnly {
			return usageError{fmt.Errorf("give --kubernetes-version; berth cluster get-upgrades -g %s -n %s lists them", ref.group, ref.name)}
		}
		if err := s.confirm(*sure, options.question(ref.name)); err != nil {
			return err
		}
		if options.imageOnly {
			return s.upgradeImages(ctx, c, ref, options.dontWait)
		}
		return s.upgradeCluster(ctx, c, ref, options)
	})
	s.clusterFlags(command, &ref, "name", "n")
	flags := command.Flags()
	flags.StringVarP(&options.version, "kubernetes-version", "k", "", "version to upgrade to, such as 1.37.2 or 1.37")
	flags.BoolVar(&options.controlPlaneOnly, "control-plane-only", false, "upgrade the control plane and leave the pools as they are")
	flags.BoolVar(&options.imageOnly, "node-image-only", false, "bring the pools' node images up to date and keep the version")
	sure, dontWait = yes(command), noWait(command)
	return command
}

func (o clusterUpgradeOptions) question(cluster string) string {
	switch {
	case o.imageOnly:
		return fmt.Sprintf("Replace the nodes of all pools of cluster %s?", cluster)
	case o.controlPlaneOnly:
		return fmt.Sprintf("Upgrade the control plane of cluster %s to %s and leave its pools as they are?", cluster, o.version)
	default:
		return fmt.Sprintf("Upgrade the control plane and all pools of cluster %s to %s?", cluster, o.version)
	}
}

func (s *session) upgradeCluster(ctx context.Context, c *clients, ref clusterRef, options clusterUpgradeOptions) error {
	found, err := c.clusters.Get(ctx, ref.group, ref.name, nil)
	if err != nil {
		return err
	}
	cluster := found.ManagedCluster
	if cluster.Properties == nil {
		return fmt.Errorf("read cluster %s: the answer has no properties", ref.name)
	}
	cluster.Properties.KubernetesVersion = &options.version
	if !options.controlPlaneOnly {
		for _, pool := range cluster.Properties.AgentPoolProfiles {
			pool.OrchestratorVersion = &options.version
		}
	}
	poller, err := c.clusters.BeginCreateOrUpdate(ctx, ref.group, ref.name, cluster,
		&armcontainerservice.ManagedClustersClientBeginCreateOrUpdateOptions{IfMatch: cluster.ETag})
	if err != nil || options.dontWait {
		return err
	}
	done, err := follow(ctx, s, "Upgrading cluster "+ref.name, poller, ref.upgradeState(c))
	if err != nil {
		return err
	}
	return s.printCluster(done.ManagedCluster)
}

// upgradeImages brings the node images of all pools up to date, one pool after the
// other.
func (s *session) upgradeImages(ctx context.Context, c *clients, ref clusterRef, dontWait bool) error {
	pools, err := listPools(ctx, c, ref)
	if err != nil {
		return err
	}
	for _, pool := range pools {
		if err := s.upgradeImage(ctx, c, poolRef{ref, deref(pool.Name)}, dontWait); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) upgradeImage(ctx context.Context, c *clients, ref poolRef, dontWait bool) error {
	poller, err := c.pools.BeginUpgradeNodeImageVersion(ctx, ref.cluster.group, ref.cluster.name, ref.name, nil)
	if err != nil || dontWait {
		return err
	}
	_, err = follow(ctx, s, "Upgrading the node image of pool "+ref.name, poller, ref.upgradeState(c))
	return err
}

func (s *session) nodePoolUpgrade() *cobra.Command {
	var ref poolRef
	var version string
	var imageOnly bool
	var surge surgeOptions
	var sure, dontWait *bool
	var command *cobra.Command
	command = s.verb("upgrade", "Upgrade a pool to its control plane's version or another, or its node image", func(ctx context.Context, c *clients) error {
		question := fmt.Sprintf("Upgrade pool %s to %s?", ref.name, firstOf(version, "its control plane's version"))
		switch {
		case imageOnly && version != "":
			return usageError{errors.New("--node-image-only keeps the version; leave --kubernetes-version out")}
		case imageOnly:
			question = fmt.Sprintf("Replace the nodes of pool %s?", ref.name)
		}
		if err := s.confirm(*sure, question); err != nil {
			return err
		}
		if imageOnly {
			return s.upgradeImage(ctx, c, ref, *dontWait)
		}
		pool, err := ref.get(ctx, c)
		if err != nil {
			return err
		}
		if pool.Properties == nil {
			return fmt.Errorf("read pool %s: the answer has no properties", ref.name)
		}
		// An empty version means the control plane's, as az sends it.
		pool.Properties.OrchestratorVersion = &version
		surge.apply(command.Flags(), pool.Properties)
		return s.upgradePool(withUpgradeSettings(ctx, surge.extra(command.Flags())), c, ref, pool.Properties, *dontWait)
	})
	s.poolFlags(command, &ref, "name", "n")
	command.Flags().StringVarP(&version, "kubernetes-version", "k", "", "version to upgrade to; the control plane's if not given")
	command.Flags().BoolVar(&imageOnly, "node-image-only", false, "bring the node image up to date and keep the version")
	surge.register(command)
	sure, dontWait = yes(command), noWait(command)
	return command
}

func (s *session) upgradePool(ctx context.Context, c *clients, ref poolRef, properties *armcontainerservice.ManagedClusterAgentPoolProfileProperties, dontWait bool) error {
	poller, err := c.pools.BeginCreateOrUpdate(ctx, ref.cluster.group, ref.cluster.name, ref.name,
		armcontainerservice.AgentPool{Properties: properties},
		&armcontainerservice.AgentPoolsClientBeginCreateOrUpdateOptions{IfMatch: properties.ETag})
	if err != nil || dontWait {
		return err
	}
	done, err := follow(ctx, s, "Upgrading pool "+ref.name, poller, ref.upgradeState(c))
	if err != nil {
		return err
	}
	return s.printPool(done.AgentPool)
}

// forceOptions are the flags that override what holds an upgrade up.
type forceOptions struct {
	enable, disable bool
	until           string
}

// forceDays is how long an override holds when nothing else is said, as with az.
const forceDays = 3

func (o *forceOptions) register(command *cobra.Command) {
	flags := command.Flags()
	flags.BoolVar(&o.enable, "enable-force-upgrade", false, "let upgrades pass disruption budgets and the checks before them")
	flags.BoolVar(&o.disable, "disable-force-upgrade", false, "do not let them any more")
	flags.StringVar(&o.until, "upgrade-override-until", "", "until when, such as 2026-12-24T18:00:00Z (3 days from now)")
	command.MarkFlagsMutuallyExclusive("enable-force-upgrade", "disable-force-upgrade")
}

func (o *forceOptions) given() bool { return o.enable || o.disable || o.until != "" }

// apply writes the override onto a cluster.
func (o *forceOptions) apply(cluster *armcontainerservice.ManagedClusterProperties, now time.Time) error {
	override := &armcontainerservice.UpgradeOverrideSettings{}
	if cluster.UpgradeSettings != nil && cluster.UpgradeSettings.OverrideSettings != nil {
		override = cluster.UpgradeSettings.OverrideSettings
	}
	cluster.UpgradeSettings = &armcontainerservice.ClusterUpgradeSettings{OverrideSettings: override}
	if o.enable || o.disable {
		override.ForceUpgrade = &o.enable
	}
	switch {
	case o.until != "":
		until, err := time.Parse(time.RFC3339, o.until)
		if err != nil {
			return usageError{fmt.Errorf("--upgrade-override-until %q is not a time such as 2026-12-24T18:00:00Z", o.until)}
		}
		override.Until = &until
	case o.enable:
		until := now.AddDate(0, 0, forceDays).UTC()
		override.Until = &until
	case o.disable:
		override.Until = nil
	}
	return nil
}
