package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

var usedVersionColumns = []column{
	{"KubernetesVersion", "orchestratorVersion"}, {"NodeImageVersion", "nodeImageVersion"}, {"LastUsed", "timestamp"},
}

// usedVersions are the pairs that a pool had before and can be rolled back to, the
// last first (AKS: roll-back-node-pool-version). The SDK does not know them yet.
func usedVersions(ctx context.Context, c *clients, ref poolRef) ([]map[string]any, error) {
	var profile struct {
		Properties struct {
			RecentlyUsedVersions []map[string]any `json:"recentlyUsedVersions"`
		} `json:"properties"`
	}
	err := answer(ctx, &profile, func(ctx context.Context) error {
		_, err := c.pools.GetUpgradeProfile(ctx, ref.cluster.group, ref.cluster.name, ref.name, nil)
		return err
	})
	return profile.Properties.RecentlyUsedVersions, err
}

func (s *session) nodePoolGetRollbackVersions() *cobra.Command {
	var ref poolRef
	command := s.verb("get-rollback-versions", "List the versions that a pool had and can be rolled back to", func(ctx context.Context, c *clients) error {
		used, err := usedVersions(ctx, c, ref)
		if err != nil {
			return err
		}
		return s.print(used, usedVersionColumns)
	})
	s.poolFlags(command, &ref, "nodepool-name", "")
	return command
}

func (s *session) nodePoolRollback() *cobra.Command {
	var ref poolRef
	var sure, dontWait *bool
	command := s.verb("rollback", "Bring a pool back to the version and node image that it had before its last upgrade", func(ctx context.Context, c *clients) error {
		used, err := usedVersions(ctx, c, ref)
		if err != nil {
			return err
		}
		if len(used) == 0 {
			return fmt.Errorf("pool %s has nothing to be rolled back to: it was not upgraded within the last days, was rolled back already, or what it had is not available any more", ref.name)
		}
		version, image := textAt(used[0], "orchestratorVersion"), textAt(used[0], "nodeImageVersion")
		if err := s.confirm(*sure, fmt.Sprintf("Bring pool %s back to %s on %s?", ref.name, version, image)); err != nil {
			return err
		}
		pool, err := ref.get(ctx, c)
		if err != nil {
			return err
		}
		if pool.Properties == nil {
			return fmt.Errorf("read pool %s: the answer has no properties", ref.name)
		}
		pool.Properties.OrchestratorVersion, pool.Properties.NodeImageVersion = &version, &image
		return s.upgradePool(ctx, c, ref, pool.Properties, *dontWait)
	})
	s.poolFlags(command, &ref, "name", "n")
	sure, dontWait = yes(command), noWait(command)
	return command
}
