package multicall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/certificate/bootstrap"
)

// How often a node that may not join yet asks again, and how long one request
// may take.
const (
	joinEvery   = 100 * time.Millisecond
	joinRequest = 2 * time.Second
)

type join struct {
	bootstrapKubeconfig, kubeconfig, certDir, nodeName string
}

// newKubeletJoinCommand gets a new node its certificate and then becomes the
// kubelet. A kubelet that bootstraps by itself does so in the background: until
// it has the certificate all its other requests are refused, and it then waits
// out their growing delays, which costs a new node some 15 seconds.
func newKubeletJoinCommand() *cobra.Command {
	var j join
	command := &cobra.Command{
		Use:          "kubelet-join --bootstrap-kubeconfig FILE --kubeconfig FILE --node-name NAME -- KUBELET-FLAGS",
		Short:        "Get a node's first certificate, then run the kubelet",
		SilenceUsage: true,
		RunE: func(command *cobra.Command, kubeletArgs []string) error {
			if err := j.run(command.Context()); err != nil {
				return err
			}
			return becomeKubelet(kubeletArgs)
		},
	}
	flags := command.Flags()
	flags.StringVar(&j.bootstrapKubeconfig, "bootstrap-kubeconfig", "", "kubeconfig with the bootstrap token")
	flags.StringVar(&j.kubeconfig, "kubeconfig", "", "kubeconfig to write")
	flags.StringVar(&j.certDir, "cert-dir", "/var/lib/kubelet/pki", "directory of the certificates")
	flags.StringVar(&j.nodeName, "node-name", "", "name of the node")
	return command
}

func (j join) run(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	if _, err := os.Stat(j.kubeconfig); errors.Is(err, os.ErrNotExist) {
		if err := j.waitForWelcome(ctx); err != nil {
			return err
		}
	}
	if err := bootstrap.LoadClientCert(ctx, j.kubeconfig, j.bootstrapKubeconfig, j.certDir, types.NodeName(j.nodeName)); err != nil {
		return fmt.Errorf("get a certificate for node %s: %w", j.nodeName, err)
	}
	return nil
}

// waitForWelcome returns once the API server answers and knows the token.
func (j join) waitForWelcome(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", j.bootstrapKubeconfig)
	if err != nil {
		return fmt.Errorf("read %s: %w", j.bootstrapKubeconfig, err)
	}
	config.Timeout = joinRequest
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client for %s: %w", config.Host, err)
	}
	ticker := time.NewTicker(joinEvery)
	defer ticker.Stop()
	for said := ""; ; {
		err := client.Discovery().RESTClient().Get().AbsPath("/api").Do(ctx).Error()
		if err == nil || apierrors.IsForbidden(err) {
			return nil
		}
		if err.Error() != said {
			said = err.Error()
			klog.InfoS("Waiting for the API server to take the bootstrap token", "server", config.Host, "err", said)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// becomeKubelet replaces this process, so that its supervisor keeps the pid.
func becomeKubelet(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the kubelet's binary: %w", err)
	}
	argv := append([]string{filepath.Base(self), "kubelet"}, args...)
	if err := syscall.Exec(self, argv, os.Environ()); err != nil {
		return fmt.Errorf("become the kubelet: %w", err)
	}
	return nil
}
