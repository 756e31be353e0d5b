package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"berth.dev/berth/internal/watch"
)

// flags are the command line, before validation.
type flags struct {
	Options
	kubeconfig  string
	clusterCIDR []string
	unmasked    []string
	health      string
	verbose     bool
}

// NewCommand returns `berth-node network`, which runs the network agent of one node until its context ends or it gets
// SIGTERM or SIGINT.
func NewCommand() *cobra.Command {
	var f flags
	command := &cobra.Command{
		Use:   "network",
		Short: "Run the network agent of this node",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return f.run(command) },
	}
	set := command.Flags()
	set.StringVar(&f.NodeName, "node-name", "", "name of this node's Node object")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file; empty: the pod's service account")
	set.StringSliceVar(&f.clusterCIDR, "cluster-cidr", nil, "the cluster's pod ranges")
	set.StringSliceVar(&f.unmasked, "unmasqueraded", nil, "further ranges that pods reach with their own addresses")
	set.BoolVar(&f.Policy, "policy", true, "enforce NetworkPolicy")
	set.BoolVar(&f.Masquerade, "masquerade", true, "give pods the node's address outside the cluster")
	set.StringVar(&f.CNIDir, "cni-dir", "/etc/cni/net.d", "where containerd reads its CNI configuration")
	set.StringVar(&f.ResultsDir, "cni-results", "/var/lib/cni/results", "where containerd keeps CNI results")
	set.StringVar(&f.Uplink, "uplink", "", "device that the overlay uses; empty: the one with the node's address")
	set.IntVar(&f.MTU, "mtu", 0, "MTU of pods in bytes; 0: the uplink's less the overlay's overhead")
	set.StringVar(&f.health, "health", "", "address to answer GET /healthz and /livez on; empty: nowhere")
	set.BoolVar(&f.verbose, "verbose", false, "log every change")
	return command
}

func (f *flags) run(command *cobra.Command) error {
	options, err := f.validate()
	if err != nil {
		return err
	}
	client, err := watch.NewClient(f.kubeconfig, "berth-network")
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(command.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	ctx, stop := signal.NotifyContext(command.Context(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	return Run(ctx, options, client, log, f.health)
}

func (f *flags) validate() (Options, error) {
	options := f.Options
	if options.NodeName == "" {
		return options, errors.New("--node-name is required")
	}
	if options.MTU != 0 && (options.MTU < 576 || options.MTU > 65535) {
		return options, fmt.Errorf("--mtu %d: must be 0, or 576 to 65535", options.MTU)
	}
	var err error
	if options.ClusterPod, err = prefixes("--cluster-cidr", f.clusterCIDR); err != nil {
		return options, err
	}
	options.Unmasked, err = prefixes("--unmasqueraded", f.unmasked)
	options.Sysctls = "/proc/sys"
	return options, err
}

func prefixes(flag string, texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		out = append(out, prefix.Masked())
	}
	return out, nil
}
