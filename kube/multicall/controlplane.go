package multicall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controllermanageroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// apiReadyTimeout is how long the controller-manager and the scheduler wait for
// the API server of their own process before the process gives up.
const apiReadyTimeout = 2 * time.Minute

// How long, and how often, the API server's etcd is dialled; and how long one try may
// take where what is sent is dropped and not refused.
const (
	etcdTimeout   = time.Minute
	etcdDialEvery = 20 * time.Millisecond
	etcdDialLimit = 200 * time.Millisecond
)

// newControlPlaneCommand runs kube-apiserver, kube-controller-manager and
// kube-scheduler as one process, which shares the heap, the caches of compiled
// schemas and one set of runtime threads. The arguments are the three programs'
// own flags, in that order, parted by "--".
//
// The API server's command owns the signal handler and decides when the process
// ends; the other two end with it.
func newControlPlaneCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "control-plane APISERVER-FLAGS -- CONTROLLER-MANAGER-FLAGS -- SCHEDULER-FLAGS",
		Short:              "Run the API server, controller-manager and scheduler in one process",
		DisableFlagParsing: true,
		SilenceUsage:       true,
		RunE: func(_ *cobra.Command, args []string) error {
			parts := splitArgs(args)
			if len(parts) != 3 {
				return fmt.Errorf("want three groups of flags parted by \"--\", got %d", len(parts))
			}
			return runControlPlane(parts[0], parts[1], parts[2])
		},
	}
}

func splitArgs(args []string) [][]string {
	parts := [][]string{{}}
	for _, arg := range args {
		if arg == "--" {
			parts = append(parts, []string{})
			continue
		}
		last := len(parts) - 1
		parts[last] = append(parts[last], arg)
	}
	return parts
}

func runControlPlane(apiserverArgs, controllerManagerArgs, schedulerArgs []string) error {
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	ended := make(chan error, 3)
	go func() {
		waitForEtcd(apiserverArgs)
		command := apiserver.NewAPIServerCommand()
		command.SetArgs(apiserverArgs)
		ended <- command.Execute()
	}()
	go func() { ended <- runControllerManager(controllerManagerArgs) }()
	go func() { ended <- runScheduler(schedulerArgs) }()
	return <-ended
}

// waitForEtcd returns once a member of etcd takes connections, or after etcdTimeout, when
// the API server may say what is wrong. An API server that starts before its etcd waits
// out gRPC's back-off, seconds for an etcd that is there within one.
func waitForEtcd(apiserverArgs []string) {
	addresses := etcdAddresses(apiserverArgs)
	if len(addresses) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), etcdTimeout)
	defer cancel()
	dialer := net.Dialer{Timeout: etcdDialLimit}
	dial := func(ctx context.Context) (bool, error) {
		for _, address := range addresses {
			if connection, err := dialer.DialContext(ctx, "tcp", address); err == nil {
				return true, connection.Close()
			}
		}
		return false, nil
	}
	if err := wait.PollUntilContextCancel(ctx, etcdDialEvery, true, dial); err != nil {
		klog.ErrorS(err, "etcd does not take connections", "addresses", addresses)
	}
}

// etcdAddresses are the host and port of each server in --etcd-servers.
func etcdAddresses(args []string) []string {
	var addresses []string
	for _, arg := range args {
		list, found := strings.CutPrefix(arg, "--etcd-servers=")
		if !found {
			continue
		}
		for _, name := range strings.Split(list, ",") {
			if server, err := url.Parse(name); err == nil && server.Host != "" {
				addresses = append(addresses, server.Host)
			}
		}
	}
	return addresses
}

func runControllerManager(args []string) error {
	options, err := controllermanageroptions.NewKubeControllerManagerOptions()
	if err != nil {
		return fmt.Errorf("controller-manager options: %w", err)
	}
	known, disabled, aliases := controllermanager.KnownControllers(), controllermanager.ControllersDisabledByDefault(), controllermanager.ControllerAliases()
	flags := options.Flags(known, disabled, aliases)
	options.ParsedFlags = &flags
	if err := parse(flags, args); err != nil {
		return fmt.Errorf("controller-manager flags: %w", err)
	}
	if err := waitForAPI(options.Generic.ClientConnection.Kubeconfig); err != nil {
		return fmt.Errorf("controller-manager: %w", err)
	}
	ctx := context.Background()
	config, err := options.Config(ctx, known, disabled, aliases)
	if err != nil {
		return fmt.Errorf("controller-manager config: %w", err)
	}
	if err := controllermanager.Run(ctx, config.Complete()); err != nil {
		return fmt.Errorf("controller-manager: %w", err)
	}
	return errors.New("controller-manager ended")
}

func runScheduler(args []string) error {
	options := scheduleroptions.NewOptions()
	if err := parse(*options.Flags, args); err != nil {
		return fmt.Errorf("scheduler flags: %w", err)
	}
	if err := waitForAPI(options.Authentication.RemoteKubeConfigFile); err != nil {
		return fmt.Errorf("scheduler: %w", err)
	}
	ctx := context.Background()
	config, sched, err := scheduler.Setup(ctx, options)
	if err != nil {
		return fmt.Errorf("scheduler setup: %w", err)
	}
	if err := scheduler.Run(ctx, config, sched); err != nil {
		return fmt.Errorf("scheduler: %w", err)
	}
	return errors.New("scheduler ended")
}

func parse(sets cliflag.NamedFlagSets, args []string) error {
	all := &cobra.Command{}
	for _, set := range sets.FlagSets {
		all.Flags().AddFlagSet(set)
	}
	return all.ParseFlags(args)
}

// waitForAPI returns once the API server that the kubeconfig names answers
// /readyz. The controllers would otherwise end the process while the API server
// is still starting.
func waitForAPI(kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client for %s: %w", config.Host, err)
	}
	ready := func(ctx context.Context) (bool, error) {
		err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		if err != nil {
			klog.V(4).InfoS("API server not ready yet", "host", config.Host, "err", err)
		}
		return err == nil, nil
	}
	if err := wait.PollUntilContextTimeout(context.Background(), 100*time.Millisecond, apiReadyTimeout, true, ready); err != nil {
		return fmt.Errorf("API server %s not ready after %s: %w", config.Host, apiReadyTimeout, err)
	}
	return nil
}
