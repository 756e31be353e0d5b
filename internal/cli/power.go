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

func (s *session) clusterRotateCerts() *cobra.Command {
	var ref clusterRef
	var sure, dontWait *bool
	command := s.verb("rotate-certs", "Replace a cluster's certificates: its nodes are made anew, and kubeconfigs end", func(ctx context.Context, c *clients) error {
		if err := s.confirm(*sure, fmt.Sprintf("Replace all certificates of cluster %s? It is away for a moment with all its nodes, and every kubeconfig of it ends.", ref.name)); err != nil {
			return err
		}
		poller, err := c.clusters.BeginRotateClusterCertificates(ctx, ref.group, ref.name, nil)
		if err != nil || *dontWait {
			return err
		}
		_, err = follow(ctx, s, "Rotating the certificates of cluster "+ref.name, poller, ref.upgradeState(c))
		return err
	})
	s.clusterFlags(command, &ref, "name", "n")
	sure, dontWait = yes(command), noWait(command)
	return command
}

// clusterOIDCIssuer has the verbs of `az aks oidc-issuer`.
func (s *session) clusterOIDCIssuer() *cobra.Command {
	return noun("oidc-issuer", "The issuer of service accounts' tokens, with the verbs of `az aks oidc-issuer`", s.clusterRotateSigningKeys())
}

func (s *session) clusterRotateSigningKeys() *cobra.Command {
	return clusterAction(s, "rotate-signing-keys", "Replace the key that signs service accounts' tokens; the old one is trusted for a day", "Rotating the signing keys of",
		func(ctx context.Context, c *clients, ref clusterRef) (*runtime.Poller[armcontainerservice.ManagedClustersClientRotateServiceAccountSigningKeysResponse], error) {
			return c.clusters.BeginRotateServiceAccountSigningKeys(ctx, ref.group, ref.name, nil)
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
		_, err = follow(ctx, s, fmt.Sprintf("%s cluster %s", doing, ref.name), poller, ref.upgradeState(c))
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
