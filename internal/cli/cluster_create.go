package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// clusterOptions are the flags of `berth cluster create`. An empty one is left to ARM's default.
type clusterOptions struct {
	clusterRef
	location, version, dnsPrefix, nodeGroup string
	tier                                    tierOptions
	lockdown                                string
	tags                                    []string
	pool                                    string
	node                                    nodeOptions
	network                                 networkOptions
	authorizedRanges                        string
	adminUser, sshKey                       string
	noSSHKey, disableLocalAccounts          bool
	channels                                channelOptions
}

// nodeOptions are the flags that describe a pool's nodes.
type nodeOptions struct {
	count, maxPods, diskGB int32
	size                   string
	labels, tags           []string
	taints                 string
}

type networkOptions struct {
	plugin, mode, policy             string
	podCIDR, serviceCIDR, dnsService string
	outbound                         string
}

func (s *session) clusterCreate() *cobra.Command {
	var options clusterOptions
	var dontWait *bool
	command := s.verb("create", "Create a cluster", func(ctx context.Context, c *clients) error {
		body, err := options.body()
		if err != nil {
			return err
		}
		if options.location == "" {
			group, err := c.groups.Get(ctx, options.group, nil)
			if err != nil {
				return err
			}
			body.Location = group.Location
		}
		return s.putCluster(ctx, c, "Creating", options.clusterRef, body, *dontWait)
	})
	s.groupFlag(command, &options.group)
	s.addName(command, &options.name, nameFlag{"name", "n", "name of the cluster", nil})
	options.register(command.Flags())
	options.channels.register(command)
	offer(command, "network-plugin", "kubenet", "azure", "none")
	offer(command, "network-policy", "azure", "none")
	offer(command, "outbound-type", "loadBalancer", "none")
	options.tier.register(command)
	registerLockdown(command, &options.lockdown)
	dontWait = noWait(command)
	return command
}

func (o *clusterOptions) register(flags *pflag.FlagSet) {
	flags.StringVarP(&o.location, "location", "l", "", "location; that of the resource group if not given")
	flags.StringVarP(&o.version, "kubernetes-version", "k", "", "version, 1.37 or 1.37.2; the service's default if not given")
	flags.StringVarP(&o.dnsPrefix, "dns-name-prefix", "p", "", "start of the API server's name")
	flags.StringVar(&o.nodeGroup, "node-resource-group", "", "name of the resource group of the nodes")
	flags.StringArrayVar(&o.tags, "tags", nil, "tags, KEY=VALUE …")
	flags.StringVar(&o.pool, "nodepool-name", "nodepool1", "name of the first pool")
	flags.Int32VarP(&o.node.count, "node-count", "c", 1, "number of nodes of the first pool")
	flags.StringVarP(&o.node.size, "node-vm-size", "s", "", "size of the nodes, such as Standard_D2s_v3")
	flags.Int32VarP(&o.node.maxPods, "max-pods", "m", 0, "most pods of a node")
	flags.Int32Var(&o.node.diskGB, "node-osdisk-size", 0, "disk of a node in GiB")
	flags.StringArrayVar(&o.node.labels, "nodepool-labels", nil, "labels of the first pool's nodes, KEY=VALUE …")
	flags.StringArrayVar(&o.node.tags, "nodepool-tags", nil, "tags of the first pool, KEY=VALUE …")
	flags.StringVar(&o.node.taints, "nodepool-taints", "", "taints of the first pool's nodes, KEY=VALUE:EFFECT,…")
	flags.StringVar(&o.network.plugin, "network-plugin", "", "kubenet, azure or none")
	flags.StringVar(&o.network.mode, "network-plugin-mode", "", "overlay, with network plugin azure")
	flags.StringVar(&o.network.policy, "network-policy", "", "who enforces NetworkPolicies: azure (Berth's engine) or none")
	flags.StringVar(&o.network.podCIDR, "pod-cidr", "", "network of the pods")
	flags.StringVar(&o.network.serviceCIDR, "service-cidr", "", "network of the Services")
	flags.StringVar(&o.network.dnsService, "dns-service-ip", "", "address of the cluster's DNS, within the Services' network")
	flags.StringVar(&o.network.outbound, "outbound-type", "", "ways out for nodes and pods: loadBalancer, or none but to what nodes need")
	flags.StringVar(&o.authorizedRanges, "api-server-authorized-ip-ranges", "", "who may reach the API server: CIDR,…")
	flags.StringVarP(&o.adminUser, "admin-username", "u", "", "user on the nodes")
	flags.StringVar(&o.sshKey, "ssh-key-value", "", "public SSH key of that user, or a file with it")
	flags.BoolVarP(&o.noSSHKey, "no-ssh-key", "x", false, "no SSH key, which is the default")
	flags.BoolVar(&o.disableLocalAccounts, "disable-local-accounts", false, "give out no static credentials")
}

// body is the cluster that the flags describe.
func (o *clusterOptions) body() (armcontainerservice.ManagedCluster, error) {
	tags, err := pairs("tags", o.tags)
	if err != nil {
		return armcontainerservice.ManagedCluster{}, err
	}
	pool, err := o.firstPool()
	if err != nil {
		return armcontainerservice.ManagedCluster{}, err
	}
	linux, err := o.linuxProfile()
	if err != nil {
		return armcontainerservice.ManagedCluster{}, err
	}
	identity := armcontainerservice.ResourceIdentityTypeSystemAssigned
	cluster := armcontainerservice.ManagedCluster{
		Location: &o.location,
		Tags:     tags,
		Identity: &armcontainerservice.ManagedClusterIdentity{Type: &identity},
		Properties: &armcontainerservice.ManagedClusterProperties{
			KubernetesVersion:    optional(o.version),
			DNSPrefix:            optional(o.dnsPrefix),
			NodeResourceGroup:    optional(o.nodeGroup),
			AgentPoolProfiles:    []*armcontainerservice.ManagedClusterAgentPoolProfile{pool},
			NetworkProfile:       o.network.profile(),
			LinuxProfile:         linux,
			DisableLocalAccounts: optional(o.disableLocalAccounts),
		},
	}
	o.channels.apply(cluster.Properties)
	if o.authorizedRanges != "" {
		cluster.Properties.APIServerAccessProfile = &armcontainerservice.ManagedClusterAPIServerAccessProfile{
			AuthorizedIPRanges: commaList(o.authorizedRanges),
		}
	}
	o.tier.apply(&cluster)
	applyLockdown(cluster.Properties, o.lockdown)
	return cluster, nil
}

func (o *clusterOptions) firstPool() (*armcontainerservice.ManagedClusterAgentPoolProfile, error) {
	labels, err := pairs("nodepool-labels", o.node.labels)
	if err != nil {
		return nil, err
	}
	tags, err := pairs("nodepool-tags", o.node.tags)
	if err != nil {
		return nil, err
	}
	var taints []*string
	if o.node.taints != "" {
		taints = commaList(o.node.taints)
	}
	mode, kind, os := armcontainerservice.AgentPoolModeSystem, armcontainerservice.AgentPoolTypeVirtualMachineScaleSets, armcontainerservice.OSTypeLinux
	return &armcontainerservice.ManagedClusterAgentPoolProfile{
		Name:         &o.pool,
		Count:        &o.node.count,
		Mode:         &mode,
		Type:         &kind,
		OSType:       &os,
		VMSize:       optional(o.node.size),
		MaxPods:      optional(o.node.maxPods),
		OSDiskSizeGB: optional(o.node.diskGB),
		NodeLabels:   labels,
		Tags:         tags,
		NodeTaints:   taints,
	}, nil
}

func (o networkOptions) profile() *armcontainerservice.NetworkProfile {
	if o == (networkOptions{}) {
		return nil
	}
	return &armcontainerservice.NetworkProfile{
		NetworkPlugin:     optional(armcontainerservice.NetworkPlugin(o.plugin)),
		NetworkPluginMode: optional(armcontainerservice.NetworkPluginMode(o.mode)),
		NetworkPolicy:     optional(armcontainerservice.NetworkPolicy(o.policy)),
		PodCidr:           optional(o.podCIDR),
		ServiceCidr:       optional(o.serviceCIDR),
		DNSServiceIP:      optional(o.dnsService),
		OutboundType:      optional(armcontainerservice.OutboundType(o.outbound)),
	}
}

// linuxProfile is nil without an SSH key: ARM then makes no login.
func (o *clusterOptions) linuxProfile() (*armcontainerservice.LinuxProfile, error) {
	if o.noSSHKey || o.sshKey == "" {
		return nil, nil
	}
	key := o.sshKey
	if !strings.HasPrefix(key, "ssh-") && !strings.HasPrefix(key, "ecdsa-") {
		content, err := os.ReadFile(key)
		if err != nil {
			return nil, usageError{fmt.Errorf("--ssh-key-value is neither a key nor a file with one: %w", err)}
		}
		key = strings.TrimSpace(string(content))
	}
	user := firstOf(o.adminUser, "azureuser")
	return &armcontainerservice.LinuxProfile{
		AdminUsername: &user,
		SSH: &armcontainerservice.SSHConfiguration{
			PublicKeys: []*armcontainerservice.SSHPublicKey{{KeyData: &key}},
		},
	}, nil
}

// putCluster writes a cluster and, unless told otherwise, waits and shows what became of it. A cluster that was read
// before is only written if nobody else has changed it.
func (s *session) putCluster(ctx context.Context, c *clients, doing string, ref clusterRef, cluster armcontainerservice.ManagedCluster, dontWait bool) error {
	poller, err := c.clusters.BeginCreateOrUpdate(ctx, ref.group, ref.name, cluster,
		&armcontainerservice.ManagedClustersClientBeginCreateOrUpdateOptions{IfMatch: cluster.ETag})
	if err != nil || dontWait {
		return err
	}
	done, err := follow(ctx, s, doing+" cluster "+ref.name, poller, ref.state(c))
	if err != nil {
		return err
	}
	return s.printCluster(done.ManagedCluster)
}
