package cli

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
)

var clusterColumns = []column{
	{"Name", "name"}, {"Location", "location"}, {"ResourceGroup", "resourceGroup"},
	{"KubernetesVersion", "kubernetesVersion"}, {"CurrentKubernetesVersion", "currentKubernetesVersion"},
	{"ProvisioningState", "provisioningState"}, {"Fqdn", "fqdn"},
}

func (s *session) clusterCommand() *cobra.Command {
	return s.common(noun("cluster", "Managed clusters, with the verbs of `az aks`",
		s.clusterCreate(), s.clusterShow(), s.clusterList(), s.clusterDelete(), s.clusterUpdate(), s.clusterScale(), s.clusterUpgrade(),
		s.clusterStart(), s.clusterStop(), s.clusterRotateCerts(), s.clusterOIDCIssuer(), s.clusterWait(), s.clusterGetCredentials(),
		s.clusterGetVersions(), s.clusterGetUpgrades(), s.clusterAbort(), s.clusterSupport(), s.clusterListDeleted(), s.clusterRecover(), s.clusterPurge()))
}

// clusterRef names a cluster.
type clusterRef struct{ group, name string }

// clusterFlags adds -g and, under the given flag, the cluster's name.
func (s *session) clusterFlags(command *cobra.Command, ref *clusterRef, flag, short string) {
	s.groupFlag(command, &ref.group)
	s.addName(command, &ref.name, nameFlag{flag, short, "name of the cluster", func(ctx context.Context, c *clients) ([]string, error) {
		clusters, err := listClusters(ctx, c, ref.group)
		names := make([]string, 0, len(clusters))
		for _, cluster := range clusters {
			names = append(names, deref(cluster.Name))
		}
		return names, err
	}})
}

// listClusters lists those of a group, or all if group is empty.
func listClusters(ctx context.Context, c *clients, group string) ([]*armcontainerservice.ManagedCluster, error) {
	if group == "" {
		return collect(ctx, c.clusters.NewListPager(nil), func(page armcontainerservice.ManagedClustersClientListResponse) []*armcontainerservice.ManagedCluster {
			return page.Value
		})
	}
	return collect(ctx, c.clusters.NewListByResourceGroupPager(group, nil),
		func(page armcontainerservice.ManagedClustersClientListByResourceGroupResponse) []*armcontainerservice.ManagedCluster {
			return page.Value
		})
}

// state reads the cluster's provisioningState, for a progress line.
func (r clusterRef) state(c *clients) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		found, err := c.clusters.Get(ctx, r.group, r.name, nil)
		if err != nil || found.Properties == nil {
			return "", err
		}
		return deref(found.Properties.ProvisioningState), nil
	}
}

func (s *session) printCluster(cluster armcontainerservice.ManagedCluster) error {
	out, err := object(cluster)
	if err != nil {
		return err
	}
	return s.print(out, clusterColumns)
}

func (s *session) clusterShow() *cobra.Command {
	var ref clusterRef
	command := s.verb("show", "Show a cluster", func(ctx context.Context, c *clients) error {
		ctx, answer := capture(ctx)
		found, err := c.clusters.Get(ctx, ref.group, ref.name, nil)
		if err != nil {
			return err
		}
		raw, err := answer()
		if err != nil {
			return err
		}
		return s.showCluster(found.ManagedCluster, flat(raw)["berthAutoUpgrades"])
	})
	s.clusterFlags(command, &ref, "name", "n")
	return command
}

// autoUpgradeColumns are those of what a cluster upgrades by itself.
var autoUpgradeColumns = []column{
	{"Schedule", "schedule"}, {"NextRun", "nextRun"}, {"Target", "target"}, {"LastRun", "lastRun"}, {"LastTarget", "lastTarget"},
	{"LastResult", "lastResult"}, {"Skipped", "skipped"},
}

// showCluster prints a cluster and, for people in a table of their own, its automatic upgrades.
func (s *session) showCluster(cluster armcontainerservice.ManagedCluster, upgrades any) error {
	out, err := object(cluster)
	if err != nil {
		return err
	}
	list, _ := upgrades.([]any)
	if len(list) > 0 {
		out["berthAutoUpgrades"] = list
	}
	if err := s.print(out, clusterColumns); err != nil || s.output != "table" || len(list) == 0 {
		return err
	}
	rows := make([]map[string]any, 0, len(list))
	for _, one := range list {
		if row, ok := one.(map[string]any); ok {
			rows = append(rows, row)
		}
	}
	fmt.Fprintln(s.streams.Out)
	return s.print(rows, autoUpgradeColumns)
}

func (s *session) clusterList() *cobra.Command {
	var group string
	command := s.verb("list", "List clusters", func(ctx context.Context, c *clients) error {
		clusters, err := listClusters(ctx, c, group)
		if err != nil {
			return err
		}
		out, err := objects(clusters)
		if err != nil {
			return err
		}
		return s.print(out, clusterColumns)
	})
	command.Flags().StringVarP(&group, "resource-group", "g", s.program.Getenv("AZURE_DEFAULTS_GROUP"), "only those of this resource group (AZURE_DEFAULTS_GROUP)")
	return command
}

func (s *session) clusterDelete() *cobra.Command {
	var ref clusterRef
	var sure, dontWait *bool
	command := s.verb("delete", "Delete a cluster, also one that is being created", func(ctx context.Context, c *clients) error {
		if err := s.confirm(*sure, fmt.Sprintf("Delete cluster %s with all its nodes and data?", ref.name)); err != nil {
			return err
		}
		poller, err := c.clusters.BeginDelete(ctx, ref.group, ref.name, nil)
		if err != nil || *dontWait {
			return err
		}
		if _, err = follow(ctx, s, "Deleting cluster "+ref.name, poller, ref.state(c)); err == nil {
			s.tellRecovery(ctx, c, ref)
		}
		return err
	})
	s.clusterFlags(command, &ref, "name", "n")
	sure, dontWait = yes(command), noWait(command)
	return command
}

func (s *session) clusterScale() *cobra.Command {
	var ref clusterRef
	var pool string
	var count int32
	var dontWait *bool
	command := s.verb("scale", "Change the number of nodes of a cluster's pool", func(ctx context.Context, c *clients) error {
		name := pool
		if name == "" {
			only, err := onlyPool(ctx, c, ref)
			if err != nil {
				return err
			}
			name = only
		}
		if err := s.scalePool(ctx, c, poolRef{ref, name}, count, *dontWait); err != nil || *dontWait {
			return err
		}
		found, err := c.clusters.Get(ctx, ref.group, ref.name, nil)
		if err != nil {
			return err
		}
		return s.printCluster(found.ManagedCluster)
	})
	s.clusterFlags(command, &ref, "name", "n")
	command.Flags().Int32VarP(&count, "node-count", "c", 0, "number of nodes")
	must(command, "node-count")
	command.Flags().StringVar(&pool, "nodepool-name", "", "name of the pool; needed if there are several")
	dontWait = noWait(command)
	return command
}

// onlyPool is the name of a cluster's pool if it has just one.
func onlyPool(ctx context.Context, c *clients, ref clusterRef) (string, error) {
	pools, err := listPools(ctx, c, ref)
	if err != nil {
		return "", err
	}
	if len(pools) != 1 {
		return "", usageError{fmt.Errorf("cluster %s has %d pools: name one with --nodepool-name", ref.name, len(pools))}
	}
	return deref(pools[0].Name), nil
}
