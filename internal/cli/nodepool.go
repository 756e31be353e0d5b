package cli

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
)

var poolColumns = []column{
	{"Name", "name"}, {"OsType", "osType"}, {"KubernetesVersion", "orchestratorVersion"}, {"VmSize", "vmSize"},
	{"OsDiskSizeGB", "osDiskSizeGB"}, {"Count", "count"}, {"MaxPods", "maxPods"},
	{"ProvisioningState", "provisioningState"}, {"Mode", "mode"},
}

func (s *session) nodePoolCommand() *cobra.Command {
	command := noun("nodepool", "Node pools, with the verbs of `az aks nodepool`",
		s.nodePoolAdd(), s.nodePoolShow(), s.nodePoolList(), s.nodePoolScale(), s.nodePoolUpdate(), s.nodePoolUpgrade(), s.nodePoolStart(),
		s.nodePoolStop(), s.nodePoolDelete(), s.nodePoolGetUpgrades(), s.nodePoolRollback(), s.nodePoolGetRollbackVersions(), s.nodePoolAbort(), s.snapshotCommand())
	return s.common(command)
}

// poolRef names a pool.
type poolRef struct {
	cluster clusterRef
	name    string
}

// poolFlags adds -g, --cluster-name and, under the given flag, the pool's name.
func (s *session) poolFlags(command *cobra.Command, ref *poolRef, flag, short string) {
	s.clusterFlags(command, &ref.cluster, "cluster-name", "")
	s.addName(command, &ref.name, nameFlag{flag, short, "name of the pool", func(ctx context.Context, c *clients) ([]string, error) {
		pools, err := listPools(ctx, c, ref.cluster)
		names := make([]string, 0, len(pools))
		for _, pool := range pools {
			names = append(names, deref(pool.Name))
		}
		return names, err
	}})
}

func listPools(ctx context.Context, c *clients, ref clusterRef) ([]*armcontainerservice.AgentPool, error) {
	return collect(ctx, c.pools.NewListPager(ref.group, ref.name, nil),
		func(page armcontainerservice.AgentPoolsClientListResponse) []*armcontainerservice.AgentPool {
			return page.Value
		})
}

func (r poolRef) get(ctx context.Context, c *clients) (armcontainerservice.AgentPool, error) {
	found, err := c.pools.Get(ctx, r.cluster.group, r.cluster.name, r.name, nil)
	return found.AgentPool, err
}

func (s *session) printPool(pool armcontainerservice.AgentPool) error {
	out, err := object(pool)
	if err != nil {
		return err
	}
	return s.print(out, poolColumns)
}

// putPool writes a pool and, unless told otherwise, waits for it. A pool that was read before is only written if nobody
// else has changed it.
func (s *session) putPool(ctx context.Context, c *clients, doing string, ref poolRef, properties *armcontainerservice.ManagedClusterAgentPoolProfileProperties, dontWait bool) (*armcontainerservice.AgentPool, error) {
	poller, err := c.pools.BeginCreateOrUpdate(ctx, ref.cluster.group, ref.cluster.name, ref.name,
		armcontainerservice.AgentPool{Properties: properties},
		&armcontainerservice.AgentPoolsClientBeginCreateOrUpdateOptions{IfMatch: properties.ETag})
	if err != nil || dontWait {
		return nil, err
	}
	done, err := follow(ctx, s, doing+" pool "+ref.name, poller, ref.upgradeState(c))
	return &done.AgentPool, err
}

func (s *session) nodePoolShow() *cobra.Command {
	var ref poolRef
	command := s.verb("show", "Show a pool", func(ctx context.Context, c *clients) error {
		pool, err := ref.get(ctx, c)
		if err != nil {
			return err
		}
		return s.printPool(pool)
	})
	s.poolFlags(command, &ref, "name", "n")
	return command
}

func (s *session) nodePoolList() *cobra.Command {
	var ref clusterRef
	command := s.verb("list", "List a cluster's pools", func(ctx context.Context, c *clients) error {
		pools, err := listPools(ctx, c, ref)
		if err != nil {
			return err
		}
		out, err := objects(pools)
		if err != nil {
			return err
		}
		return s.print(out, poolColumns)
	})
	s.clusterFlags(command, &ref, "cluster-name", "")
	return command
}

func (s *session) nodePoolScale() *cobra.Command {
	var ref poolRef
	var count int32
	var dontWait *bool
	command := s.verb("scale", "Change the number of nodes of a pool", func(ctx context.Context, c *clients) error {
		if err := s.scalePool(ctx, c, ref, count, *dontWait); err != nil || *dontWait {
			return err
		}
		pool, err := ref.get(ctx, c)
		if err != nil {
			return err
		}
		return s.printPool(pool)
	})
	s.poolFlags(command, &ref, "name", "n")
	command.Flags().Int32VarP(&count, "node-count", "c", 0, "number of nodes")
	must(command, "node-count")
	dontWait = noWait(command)
	return command
}

// scalePool changes the count alone and leaves the rest as it was read.
func (s *session) scalePool(ctx context.Context, c *clients, ref poolRef, count int32, dontWait bool) error {
	pool, err := ref.get(ctx, c)
	if err != nil {
		return err
	}
	if pool.Properties == nil {
		return fmt.Errorf("read pool %s: the answer has no properties", ref.name)
	}
	pool.Properties.Count = &count
	_, err = s.putPool(ctx, c, "Scaling", ref, pool.Properties, dontWait)
	return err
}

// deletion asks for budgets to be passed over, or for nothing.
func deletion(ignorePDB bool) *armcontainerservice.AgentPoolsClientBeginDeleteOptions {
	if !ignorePDB {
		return nil
	}
	return &armcontainerservice.AgentPoolsClientBeginDeleteOptions{IgnorePodDisruptionBudget: &ignorePDB}
}

func (s *session) nodePoolDelete() *cobra.Command {
	var ref poolRef
	var dontWait *bool
	var ignorePDB bool
	command := s.verb("delete", "Drain and delete a pool", func(ctx context.Context, c *clients) error {
		// ARM takes the deletion of what is not there for done; whoever types a name wants to hear of it.
		if _, err := ref.get(ctx, c); err != nil {
			return err
		}
		poller, err := c.pools.BeginDelete(ctx, ref.cluster.group, ref.cluster.name, ref.name, deletion(ignorePDB))
		if err != nil || *dontWait {
			return err
		}
		_, err = follow(ctx, s, "Deleting pool "+ref.name, poller, ref.upgradeState(c))
		return err
	})
	s.poolFlags(command, &ref, "name", "n")
	command.Flags().BoolVarP(&ignorePDB, "ignore-pdb", "i", false, "let no pod disruption budget hold the drain up")
	yes(command) // az asks nothing here; scripts that say --yes work all the same
	dontWait = noWait(command)
	return command
}
