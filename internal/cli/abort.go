package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// clusterAbort ends what runs on a cluster, as `az aks operation-abort` does.
func (s *session) clusterAbort() *cobra.Command {
	var ref clusterRef
	var dontWait *bool
	command := s.verb("operation-abort", "Abort the operation that runs on a cluster: what it has done stays", func(ctx context.Context, c *clients) error {
		poller, err := c.clusters.BeginAbortLatestOperation(ctx, ref.group, ref.name, nil)
		if err != nil || *dontWait {
			return err
		}
		_, err = follow(ctx, s, "Aborting the operation on cluster "+ref.name, poller, nil)
		return err
	})
	s.clusterFlags(command, &ref, "name", "n")
	dontWait = noWait(command)
	return command
}

// nodePoolAbort ends what runs on a pool, as `az aks nodepool operation-abort` does.
func (s *session) nodePoolAbort() *cobra.Command {
	var ref poolRef
	var dontWait *bool
	command := s.verb("operation-abort", "Abort the operation that runs on a pool: nodes that were replaced stay so", func(ctx context.Context, c *clients) error {
		poller, err := c.pools.BeginAbortLatestOperation(ctx, ref.cluster.group, ref.cluster.name, ref.name, nil)
		if err != nil || *dontWait {
			return err
		}
		_, err = follow(ctx, s, "Aborting the operation on pool "+ref.name, poller, nil)
		return err
	})
	s.poolFlags(command, &ref, "name", "n")
	dontWait = noWait(command)
	return command
}
