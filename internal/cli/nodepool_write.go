package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// poolOptions are the flags of `berth nodepool add` and `update`.
type poolOptions struct {
	node          nodeOptions
	mode, version string
	snapshot      string
	surge         surgeOptions
}

// surgeOptions are the flags that say how a pool's nodes are replaced.
type surgeOptions struct {
	maxSurge, maxUnavailable, undrainable string
	drain, soak                           int32
}

func (o *surgeOptions) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&o.maxSurge, "max-surge", "", "extra nodes while upgrading, a number or a percentage")
	flags.StringVar(&o.maxUnavailable, "max-unavailable", "", "nodes to replace in place at a time, a number or a percentage")
	flags.StringVar(&o.undrainable, "undrainable-node-behavior", "", "Schedule (the upgrade fails) or Cordon (the node is quarantined)")
	flags.Int32Var(&o.drain, "drain-timeout", 0, "minutes for a node's pods to leave")
	flags.Int32Var(&o.soak, "node-soak-duration", 0, "minutes to wait after each node of an upgrade")
	offer(command, "undrainable-node-behavior", "Schedule", "Cordon")
}

// apply writes the flags that were given and that the SDK knows.
func (o *surgeOptions) apply(flags *pflag.FlagSet, pool *armcontainerservice.ManagedClusterAgentPoolProfileProperties) {
	settings := pool.UpgradeSettings
	if settings == nil {
		settings = &armcontainerservice.AgentPoolUpgradeSettings{}
	}
	for _, flag := range []struct {
		name string
		set  func()
	}{
		{"max-surge", func() { settings.MaxSurge = &o.maxSurge }},
		{"drain-timeout", func() { settings.DrainTimeoutInMinutes = &o.drain }},
		{"node-soak-duration", func() { settings.NodeSoakDurationInMinutes = &o.soak }},
	} {
		if flags.Changed(flag.name) {
			flag.set()
			pool.UpgradeSettings = settings
		}
	}
}

// extra are the flags that were given and that the SDK does not know.
func (o *surgeOptions) extra(flags *pflag.FlagSet) map[string]any {
	settings := map[string]any{}
	if flags.Changed("max-unavailable") {
		settings["maxUnavailable"] = o.maxUnavailable
	}
	if flags.Changed("undrainable-node-behavior") {
		settings["undrainableNodeBehavior"] = o.undrainable
	}
	return settings
}

func (o *poolOptions) registerShared(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&o.mode, "mode", "", "System or User")
	flags.StringArrayVar(&o.node.labels, "labels", nil, "labels of the nodes, KEY=VALUE …")
	flags.StringArrayVar(&o.node.tags, "tags", nil, "tags, KEY=VALUE …")
	flags.StringVar(&o.node.taints, "node-taints", "", "taints of the nodes, KEY=VALUE:EFFECT,…")
	o.surge.register(command)
	offer(command, "mode", "System", "User")
}

// apply writes the flags that were given onto a pool, and leaves everything else.
func (o *poolOptions) apply(flags *pflag.FlagSet, pool *armcontainerservice.ManagedClusterAgentPoolProfileProperties) error {
	if flags.Changed("mode") {
		mode := armcontainerservice.AgentPoolMode(strings.ToUpper(o.mode[:min(1, len(o.mode))]) + strings.ToLower(o.mode[min(1, len(o.mode)):]))
		pool.Mode = &mode
	}
	if flags.Changed("labels") {
		labels, err := pairs("labels", o.node.labels)
		if err != nil {
			return err
		}
		pool.NodeLabels = labels
	}
	if flags.Changed("tags") {
		tags, err := pairs("tags", o.node.tags)
		if err != nil {
			return err
		}
		pool.Tags = tags
	}
	if flags.Changed("node-taints") {
		pool.NodeTaints = commaList(o.node.taints)
	}
	o.surge.apply(flags, pool)
	return nil
}

func (s *session) nodePoolAdd() *cobra.Command {
	var ref poolRef
	var options poolOptions
	var dontWait *bool
	var command *cobra.Command
	command = s.verb("add", "Add a pool to a cluster", func(ctx context.Context, c *clients) error {
		pools, err := listPools(ctx, c, ref.cluster)
		if err != nil {
			return err
		}
		for _, pool := range pools {
			if strings.EqualFold(deref(pool.Name), ref.name) {
				return fmt.Errorf("cluster %s has a pool %s already: berth nodepool scale or update changes it", ref.cluster.name, ref.name)
			}
		}
		kind, os := armcontainerservice.AgentPoolTypeVirtualMachineScaleSets, armcontainerservice.OSTypeLinux
		pool := &armcontainerservice.ManagedClusterAgentPoolProfileProperties{
			Count:               &options.node.count,
			Type:                &kind,
			OSType:              &os,
			VMSize:              optional(options.node.size),
			MaxPods:             optional(options.node.maxPods),
			OSDiskSizeGB:        optional(options.node.diskGB),
			OrchestratorVersion: optional(options.version),
		}
		if options.snapshot != "" {
			pool.CreationData = &armcontainerservice.CreationData{SourceResourceID: &options.snapshot}
		}
		if err := options.apply(command.Flags(), pool); err != nil {
			return err
		}
		made, err := s.putPool(withUpgradeSettings(ctx, options.surge.extra(command.Flags())), c, "Adding", ref, pool, *dontWait)
		if err != nil || made == nil {
			return err
		}
		return s.printPool(*made)
	})
	s.clusterFlags(command, &ref.cluster, "cluster-name", "")
	s.addName(command, &ref.name, nameFlag{"name", "n", "name of the pool", nil})
	flags := command.Flags()
	flags.Int32VarP(&options.node.count, "node-count", "c", 1, "number of nodes")
	flags.StringVarP(&options.node.size, "node-vm-size", "s", "", "size of the nodes, such as Standard_D2s_v3")
	flags.Int32VarP(&options.node.maxPods, "max-pods", "m", 0, "most pods of a node")
	flags.Int32Var(&options.node.diskGB, "node-osdisk-size", 0, "disk of a node in GiB")
	flags.StringVarP(&options.version, "kubernetes-version", "k", "", "version; the control plane's if not given")
	flags.StringVar(&options.snapshot, "snapshot-id", "", "id of a snapshot to make the pool of")
	options.registerShared(command)
	dontWait = noWait(command)
	return command
}

func (s *session) nodePoolUpdate() *cobra.Command {
	var ref poolRef
	var options poolOptions
	var dontWait *bool
	var command *cobra.Command
	command = s.verb("update", "Change a pool's mode, labels, taints, tags or upgrade settings; without a flag, undo what was done to its machines behind the service", func(ctx context.Context, c *clients) error {
		pool, err := ref.get(ctx, c)
		if err != nil {
			return err
		}
		if pool.Properties == nil {
			return fmt.Errorf("read pool %s: the answer has no properties", ref.name)
		}
		if err := options.apply(command.Flags(), pool.Properties); err != nil {
			return err
		}
		made, err := s.putPool(withUpgradeSettings(ctx, options.surge.extra(command.Flags())), c, "Updating", ref, pool.Properties, *dontWait)
		if err != nil || made == nil {
			return err
		}
		return s.printPool(*made)
	})
	s.poolFlags(command, &ref, "name", "n")
	options.registerShared(command)
	dontWait = noWait(command)
	return command
}
