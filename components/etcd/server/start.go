package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.etcd.io/etcd/pkg/v3/flags"
	"go.etcd.io/etcd/pkg/v3/osutil"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// serve runs a member until it is told to end. It is what etcd's own command does (etcdmain),
// which takes no handlers, with the same flags and variables, but for those that this version
// ignores and for a configuration file.
func serve(args []string) error {
	grpc.EnableTracing = false
	config, err := configure(args)
	if err != nil {
		return err
	}
	config.SetupGlobalLoggers()
	log := config.GetLogger()
	defer func() { _ = log.Sync() }()
	log.Info("Running: ", zap.Strings("args", args))
	ending, end := context.WithCancel(context.Background())
	defer end()
	given := &snapshots{patience: readPatience, ending: ending}
	config.UserHandlers = map[string]http.Handler{snapshotPath: given}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	given.of.Store(etcd.Server)
	go func() {
		<-etcd.Server.StoppingNotify() // a member that was taken out ends by itself
		end()
	}()
	osutil.RegisterInterruptHandler(func() {
		end() // etcd waits seconds for whoever reads
		etcd.Close()
	})
	select {
	case <-etcd.Server.ReadyNotify():
	case <-etcd.Server.StopNotify():
	}
	osutil.HandleInterrupts(log)
	select {
	case err := <-etcd.Err():
		return fmt.Errorf("serve etcd: %w", err)
	case <-etcd.Server.StopNotify():
	}
	osutil.Exit(0)
	return nil
}

// configure reads flags, and ETCD_ variables where there is no flag.
func configure(args []string) (*embed.Config, error) {
	config := embed.NewConfig()
	unnamed := config.InitialCluster
	set := flag.NewFlagSet("etcd", flag.ContinueOnError)
	set.Usage = func() { fmt.Fprintln(os.Stderr, "usage: etcd [flags]; they are upstream's") }
	config.AddFlags(set)
	state := flags.NewSelectiveStringValue(embed.ClusterStateFlagNew, embed.ClusterStateFlagExisting)
	set.Var(state, "initial-cluster-state", "Initial cluster state ('new' or 'existing').")
	shown := set.Bool("version", false, "Print the version and exit.")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if *shown {
		fmt.Println("etcd Version:", version.Version)
		os.Exit(0)
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag", set.Arg(0))
	}
	log, err := logutil.CreateDefaultZapLogger(zap.WarnLevel)
	if err != nil {
		return nil, err
	}
	// It would be taken for the flag: whoever sets it says which version there is.
	if err := os.Unsetenv("ETCD_VERSION"); err != nil {
		return nil, err
	}
	if err := flags.SetFlagsFromEnv(log, "ETCD", set); err != nil {
		return nil, err
	}
	config.ClusterState = state.String()
	take(config, set)
	if config.WarningUnaryRequestDuration == 0 {
		config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	// Its error says that no address of this machine is known to be the default one, which need not be.
	_, _ = config.UpdateDefaultClusterFromName(unnamed)
	if config.Dir == "" {
		config.Dir = config.Name + ".etcd"
	}
	return config, nil
}

// take has the configuration take those flags whose values etcd's library leaves to its caller.
func take(config *embed.Config, set *flag.FlagSet) {
	for name, to := range map[string]*[]url.URL{
		"listen-peer-urls": &config.ListenPeerUrls, "initial-advertise-peer-urls": &config.AdvertisePeerUrls,
		"listen-client-urls": &config.ListenClientUrls, "listen-client-http-urls": &config.ListenClientHttpUrls,
		"advertise-client-urls": &config.AdvertiseClientUrls, "listen-metrics-urls": &config.ListenMetricsUrls,
	} {
		*to = flags.UniqueURLsFromFlag(set, name)
	}
	for name, to := range map[string]*[]string{
		"client-cert-allowed-hostname": &config.ClientTLSInfo.AllowedHostnames, "peer-cert-allowed-cn": &config.PeerTLSInfo.AllowedCNs,
		"peer-cert-allowed-hostname": &config.PeerTLSInfo.AllowedHostnames, "cipher-suites": &config.CipherSuites,
	} {
		*to = flags.StringsFromFlag(set, name)
	}
	config.DiscoveryCfg.Endpoints = flags.UniqueStringsFromFlag(set, "discovery-endpoints")
	config.LogOutputs = flags.UniqueStringsFromFlag(set, "log-outputs")
	config.CORS = flags.UniqueURLsMapFromFlag(set, "cors")
	config.HostWhitelist = flags.UniqueStringsMapFromFlag(set, "host-whitelist")
	config.MaxConcurrentStreams = flags.Uint32FromFlag(set, "max-concurrent-streams")
	set.Visit(func(f *flag.Flag) { config.FlagsExplicitlySet[f.Name] = true })
	if config.FlagsExplicitlySet["listen-client-urls"] && !config.FlagsExplicitlySet["advertise-client-urls"] {
		config.AdvertiseClientUrls = nil // Validate says that it is missing
	}
}
