package serve

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/go-logr/logr"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/admission"
	"berth.dev/berth/internal/controller/cluster"
	"berth.dev/berth/internal/inspect"
	"berth.dev/berth/internal/machine/pod"
	"berth.dev/berth/internal/registry"
	"berth.dev/berth/internal/release"
	"berth.dev/berth/internal/tenant"
)

// Run serves until ctx is done. It returns the first error of any part.
func Run(ctx context.Context, options Options) error {
	if err := options.validate(); err != nil {
		return fmt.Errorf("berth serve: %w", err)
	}
	catalogue, err := release.Load(options.Catalogue)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	log.SetLogger(logr.FromSlogHandler(logger.Handler()))
	config, err := restConfig(options.Kubeconfig)
	if err != nil {
		return err
	}
	manager, err := newManager(config, options)
	if err != nil {
		return err
	}
	images, err := registry.New(registry.Config{Dir: options.RegistryDir, Log: logger.With("part", "registry")})
	if err != nil {
		return err
	}
	parts := parts{options: options, manager: manager, catalogue: catalogue, images: images, tenants: tenant.NewClients(manager.GetAPIReader()), log: logger}
	for _, setup := range []func() error{parts.health, parts.admission, parts.arm, parts.gateway, parts.registry, parts.backups, parts.controllers} {
		if err := setup(); err != nil {
			return err
		}
	}
	logger.Info("serving", "arm", options.ARMAddress, "gateway", options.GatewayAddress, "registry", options.RegistryAddress)
	return manager.Start(ctx)
}

// parts are what Run wires to the manager.
type parts struct {
	options   Options
	manager   ctrl.Manager
	catalogue *release.Catalogue
	images    *registry.Registry
	tenants   *tenant.Clients
	log       *slog.Logger
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	config, err := rest.InClusterConfig()
	if kubeconfig != "" {
		config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("reach the management cluster: %w", err)
	}
	// Reconciles of many clusters share this client; the API server has its own fairness.
	config.QPS, config.Burst = 200, 400
	config.UserAgent = "berth"
	return config, nil
}

func newManager(config *rest.Config, options Options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register Kubernetes kinds: %w", err)
	}
	if err := v1beta1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register berth.dev kinds: %w", err)
	}
	host, port, err := splitPort(options.WebhookAddress)
	if err != nil {
		return nil, err
	}
	settings := ctrl.Options{
		Scheme: scheme,
		// Secrets are read rarely and must not lie in memory for longer than that.
		Client:                 client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
		Cache:                  cache.Options{ByObject: cached()},
		Metrics:                metricsserver.Options{BindAddress: options.MetricsAddress},
		HealthProbeBindAddress: options.HealthAddress,
		WebhookServer: webhook.NewServer(webhook.Options{
			Host: host, Port: port,
			CertDir: filepath.Dir(options.TLSCert), CertName: filepath.Base(options.TLSCert), KeyName: filepath.Base(options.TLSKey),
		}),
	}
	if err := setLeader(&settings, config, options); err != nil {
		return nil, err
	}
	manager, err := ctrl.NewManager(config, settings)
	if err != nil {
		return nil, fmt.Errorf("make manager: %w", err)
	}
	return manager, nil
}

// cached narrows the manager's cache to what the controllers made.
func cached() map[client.Object]cache.ByObject {
	byObject := cluster.CacheOptions()
	maps.Copy(byObject, pod.CacheOptions())
	return byObject
}

func splitPort(address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("--webhook-address %q is not host:port: %w", address, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", 0, fmt.Errorf("--webhook-address %q: the port is not a number: %w", address, err)
	}
	return host, port, nil
}

func (p parts) health() error {
	if err := p.manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add health check: %w", err)
	}
	if err := p.manager.AddReadyzCheck("webhooks", p.manager.GetWebhookServer().StartedChecker()); err != nil {
		return fmt.Errorf("add readiness check: %w", err)
	}
	return nil
}

func (p parts) admission() error {
	managed, err := addon.Names()
	if err != nil {
		return err
	}
	return admission.Setup(p.manager, admission.Rules{
		Reader: p.manager.GetAPIReader(), Catalogue: p.catalogue, Preflight: p.preflight(),
		StopWebhooks: inspect.Reader{Tenants: p.tenants, Managed: managed}.StopWebhooks,
	})
}
