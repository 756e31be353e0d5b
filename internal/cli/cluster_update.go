package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
)

func (s *session) clusterUpdate() *cobra.Command {
	var ref clusterRef
	var tags []string
	var ranges string
	var channels channelOptions
	var force forceOptions
	var tier tierOptions
	var lockdown string
	var disableLocal, enableLocal bool
	var dontWait *bool
	var command *cobra.Command
	command = s.verb("update", "Change a cluster's tier, tags, authorised IP ranges, channels, local accounts or override of upgrades", func(ctx context.Context, c *clients) error {
		parsed, err := pairs("tags", tags)
		if err != nil {
			return err
		}
		newRanges := command.Flags().Changed("api-server-authorized-ip-ranges")
		if !newRanges && !force.given() && !channels.given(command.Flags()) && !tier.given(command.Flags()) && lockdown == "" && !disableLocal && !enableLocal {
			return s.tagCluster(ctx, c, ref, parsed, *dontWait)
		}
		found, err := c.clusters.Get(ctx, ref.group, ref.name, nil)
		if err != nil {
			return err
		}
		cluster := found.ManagedCluster
		if tags != nil {
			cluster.Tags = parsed
		}
		if newRanges {
			cluster.Properties.APIServerAccessProfile = accessWith(cluster.Properties.APIServerAccessProfile, commaList(ranges))
		}
		channels.apply(cluster.Properties)
		tier.apply(&cluster)
		applyLockdown(cluster.Properties, lockdown)
		if force.given() {
			if err := force.apply(cluster.Properties, time.Now()); err != nil {
				return err
			}
		}
		if disableLocal || enableLocal {
			cluster.Properties.DisableLocalAccounts = &disableLocal
		}
		return s.putCluster(ctx, c, "Updating", ref, cluster, *dontWait)
	})
	s.clusterFlags(command, &ref, "name", "n")
	command.Flags().StringArrayVar(&tags, "tags", nil, `tags, KEY=VALUE …, instead of those there are; "" for none`)
	command.Flags().StringVar(&ranges, "api-server-authorized-ip-ranges", "", `who may reach the API server: CIDR,…; "" for everybody`)
	channels.register(command)
	force.register(command)
	tier.register(command)
	registerLockdown(command, &lockdown)
	command.Flags().BoolVar(&disableLocal, "disable-local-accounts", false, "give out no credentials any more; rotate-certs ends those given out")
	command.Flags().BoolVar(&enableLocal, "enable-local-accounts", false, "give out credentials again")
	command.MarkFlagsOneRequired("tags", flagTier, flagPlan, "api-server-authorized-ip-ranges", "auto-upgrade-channel", "node-os-upgrade-channel",
		"enable-force-upgrade", "disable-force-upgrade", "upgrade-override-until", "disable-local-accounts", "enable-local-accounts", flagLockdown)
	command.MarkFlagsMutuallyExclusive("disable-local-accounts", "enable-local-accounts")
	dontWait = noWait(command)
	return command
}

// flagLockdown is az's name for the restriction of the node resource group.
const flagLockdown = "nrg-lockdown-restriction-level"

func registerLockdown(command *cobra.Command, level *string) {
	command.Flags().StringVar(level, flagLockdown, "", "what may be done in the node resource group: Unrestricted or ReadOnly")
	offer(command, flagLockdown, "Unrestricted", "ReadOnly")
}

func applyLockdown(properties *armcontainerservice.ManagedClusterProperties, level string) {
	if level != "" {
		restriction := armcontainerservice.RestrictionLevel(level)
		properties.NodeResourceGroupProfile = &armcontainerservice.ManagedClusterNodeResourceGroupProfile{RestrictionLevel: &restriction}
	}
}

// accessWith is an access profile with other ranges.
func accessWith(profile *armcontainerservice.ManagedClusterAPIServerAccessProfile, ranges []*string) *armcontainerservice.ManagedClusterAPIServerAccessProfile {
	if profile == nil {
		profile = &armcontainerservice.ManagedClusterAPIServerAccessProfile{}
	}
	profile.AuthorizedIPRanges = ranges
	return profile
}

func (s *session) tagCluster(ctx context.Context, c *clients, ref clusterRef, tags map[string]*string, dontWait bool) error {
	poller, err := c.clusters.BeginUpdateTags(ctx, ref.group, ref.name, armcontainerservice.TagsObject{Tags: tags}, nil)
	if err != nil || dontWait {
		return err
	}
	done, err := follow(ctx, s, "Updating cluster "+ref.name, poller, ref.state(c))
	if err != nil {
		return err
	}
	return s.printCluster(done.ManagedCluster)
}

// waitOptions are the flags of `berth cluster wait`: exactly one condition.
type waitOptions struct {
	created, updated, deleted, exists bool
	interval, timeout                 int
}

func (s *session) clusterWait() *cobra.Command {
	var ref clusterRef
	var options waitOptions
	command := s.verb("wait", "Wait until a cluster is created, updated, deleted or there", func(ctx context.Context, c *clients) error {
		return s.waitFor(ctx, c, ref, options)
	})
	s.clusterFlags(command, &ref, "name", "n")
	flags := command.Flags()
	flags.BoolVar(&options.created, "created", false, "until provisioningState is Succeeded")
	flags.BoolVar(&options.updated, "updated", false, "until provisioningState is Succeeded")
	flags.BoolVar(&options.deleted, "deleted", false, "until it is gone")
	flags.BoolVar(&options.exists, "exists", false, "until it is there, in whatever state")
	flags.IntVar(&options.interval, "interval", 2, "seconds between two looks")
	flags.IntVar(&options.timeout, "timeout", 3600, "seconds after which to give up")
	conditions := []string{"created", "updated", "deleted", "exists"}
	command.MarkFlagsOneRequired(conditions...)
	command.MarkFlagsMutuallyExclusive(conditions...)
	return command
}

func (s *session) waitFor(ctx context.Context, c *clients, ref clusterRef, options waitOptions) error {
	if options.interval < 1 || options.timeout < 1 {
		return usageError{errors.New("--interval and --timeout are seconds, 1 or more")}
	}
	deadline := time.Now().Add(time.Duration(options.timeout) * time.Second)
	p := newProgress(s.streams.Err, "Waiting for cluster "+ref.name)
	defer p.close()
	for {
		state, err := ref.state(c)(ctx)
		done, err := options.met(state, err)
		if err != nil {
			return err
		}
		if done {
			p.end(firstOf(state, "Deleted"))
			return nil
		}
		p.set(firstOf(state, "Absent"))
		if time.Now().After(deadline) {
			return fmt.Errorf("cluster %s is still %s after %d seconds", ref.name, firstOf(state, "absent"), options.timeout)
		}
		if err := pause(ctx, time.Duration(options.interval)*time.Second); err != nil {
			return err
		}
	}
}

// met says whether the condition holds, given what the last look found. A cluster that has failed never succeeds.
func (o waitOptions) met(state string, err error) (bool, error) {
	var response *azcore.ResponseError
	if errors.As(err, &response) && response.StatusCode == http.StatusNotFound {
		return o.deleted, nil
	}
	switch {
	case err != nil:
		return false, err
	case o.exists:
		return true, nil
	case o.deleted:
		return false, nil
	case state == "Failed" || state == "Canceled":
		return false, fmt.Errorf("the last operation on the cluster ended as %s: berth cluster show -o json says more", state)
	}
	return state == "Succeeded", nil
}
