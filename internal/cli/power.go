package cli

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
)

func (s *session) clusterStart() *cobra.Command {
	return clusterAction(s, "start", "Start a stopped cluster and all its nodes", "Starting",
		func(ctx context.Context, c *clients, ref clusterRef) (*runtime.Poller[armcontainerservice.ManagedClustersClientStartResponse], error) {
			return c.clusters.BeginStart(ctx, ref.group, ref.name, nil)
		})
}

func (s *session) clusterStop() *cobra.Command {
	return clusterAction(s, "stop", "Stop a cluster: its nodes are drained and nothing of it runs until it is started", "Stopping",
		func(ctx context.Context, c *clients, ref clusterRef) (*runtime.Poller[armcontainerservice.ManagedClustersClientStopResponse], error) {
			return c.clusters.BeginStop(ctx, ref.group, ref.name, nil)
		})
}

// clusterAction is a verb that asks a cluster for one thing and waits for it.
func clusterAction[T any](s *session, verb, short, doing string, begin func(context.Context, *clients, clusterRef) (*runtime.Poller[T], error)) *cobra.Command {
	var ref clusterRef
	var dontWait *bool
	command := s.verb(verb, short, func(ctx context.Context, c *clients) error {
		poller, err := begin(ctx, c, ref)
		if err != nil || *dontWait {
			return err
		}
		_, err = follow(ctx, s, fmt.Sprintf("%s cluster %s", doing, ref.name), poller, ref.state(c))
		return err
	})
	s.clusterFlags(command, &ref, "name", "n")
	dontWait = noWait(command)
	return command
}

func (s *session) nodePoolStart() *cobra.Command {
	return s.poolPower("start", "Start a stopped pool with as many nodes as it had", "Starting", armcontainerservice.CodeRunning)
}

func (s *session) nodePoolStop() *cobra.Command {
	return s.poolPower("stop", "Stop a user pool: its nodes are drained and go, its count stays", "Stopping", armcontainerservice.CodeStopped)
}

func (s *session) poolPower(verb, short, doing string, code armcontainerservice.Code) *cobra.Command {
	var ref poolRef
	var dontWait *bool
	command := s.verb(verb, short, func(ctx context.Context, c *clients) error {
		pool, err := ref.get(ctx, c)
		if err != nil {
			return err
		}
		if pool.Properties == nil {
			return fmt.Errorf("read pool %s: the answer has no properties", ref.name)
		}
		pool.Properties.PowerState = &armcontainerservice.PowerState{Code: &code}
		_, err = s.putPool(ctx, c, doing, ref, pool.Properties, *dontWait)
		return err
	})
	s.poolFlags(command, &ref, "name", "n")
	dontWait = noWait(command)
	return command
}
