package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/arm/authorization"
	"berth.dev/berth/internal/arm/compute"
	"berth.dev/berth/internal/arm/containerservice"
	"berth.dev/berth/internal/arm/eventgrid"
	"berth.dev/berth/internal/arm/insights"
	"berth.dev/berth/internal/arm/resources"
	"berth.dev/berth/internal/arm/support"
	"berth.dev/berth/internal/controller/backup"
	"berth.dev/berth/internal/gateway"
	"berth.dev/berth/internal/identity"
	"berth.dev/berth/internal/inspect"
	"berth.dev/berth/internal/supportaccess"
)

// shutdownTime is how long requests may go on after the process was told to end.
const shutdownTime = 10 * time.Second

// everywhere is a runnable that does not wait for leadership.
type everywhere func(ctx context.Context) error

// Start implements manager.Runnable.
func (run everywhere) Start(ctx context.Context) error { return run(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }

func (p parts) arm() error {
	directory, err := identity.Load(p.options.IdentityDir)
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(p.options.CAFile)
	if err != nil {
		return fmt.Errorf("read the authority that support trusts: %w", err)
	}
	own, err := p.ownRanges()
	if err != nil {
		return err
	}
	front := supportaccess.New(supportaccess.Config{
		Client: p.manager.GetClient(), Reader: p.manager.GetAPIReader(), Engineer: directory.Engineer, Log: p.log.With("part", "supportaccess"),
	})
	if err := front.SetupWithManager(p.manager); err != nil {
		return err
	}
	managed, err := addon.Names()
	if err != nil {
		return err
	}
	handler := arm.NewServer(arm.Config{
		Client:         p.manager.GetClient(),
		APIReader:      p.manager.GetAPIReader(),
		Catalogue:      p.catalogue,
		Preflight:      p.preflight(),
		Inspector:      inspect.Reader{Tenants: p.tenants, Managed: managed},
		StopWebhooks:   inspect.Reader{Tenants: p.tenants, Managed: managed}.StopWebhooks,
		Identity:       directory,
		PublicURL:      p.options.PublicURL,
		GatewayAddress: p.options.GatewayPublic,
		CA:             ca,
		Log:            p.log.With("part", "arm"),
	}, resources.New, resources.Features, authorization.New, containerservice.New, compute.New, support.New, insights.New, eventgrid.New(own))
	return p.serveTLS("arm", p.options.ARMAddress, withSupport(front, handler), tls.NoClientCert)
}

// withSupport has support's requests to clusters come in where ARM's do.
func withSupport(front *supportaccess.Front, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if supportaccess.Serves(r) {
			front.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

func (p parts) registry() error {
	return p.serveTLS("registry", p.options.RegistryAddress, p.images, tls.NoClientCert)
}

// backups asks everybody for a certificate; whose it is decides what is given.
func (p parts) backups() error {
	return p.serveTLS("backups", p.options.BackupAddress, backup.NewSource(backup.Config{
		Store: p.options.BackupStore, Log: p.log.With("part", "backup"),
	}, p.manager.GetAPIReader()), tls.RequireAnyClientCert)
}

func (p parts) gateway() error {
	trusted, err := p.options.trustedProxies()
	if err != nil {
		return err
	}
	routes := gateway.RoutesFromClusters(p.manager.GetClient())
	server := gateway.New(gateway.Config{Routes: routes.Lookup, TrustedProxies: trusted, Log: p.log.With("part", "gateway")})
	routes.OnChange(server.Recheck)
	if err := routes.SetupWithManager(p.manager); err != nil {
		return err
	}
	if err := metrics.Registry.Register(server); err != nil {
		return fmt.Errorf("register metrics of the gateway: %w", err)
	}
	return p.manager.Add(everywhere(func(ctx context.Context) error {
		listener, err := gateway.Listen(ctx, p.options.GatewayAddress)
		if err != nil {
			return err
		}
		return server.Serve(ctx, listener)
	}))
}

// maxHeader bounds a request's line and headers, in bytes: a path becomes names and records.
const maxHeader = 64 << 10

// serveTLS adds an HTTPS server with the process's certificate, which is read
// again when its files change.
func (p parts) serveTLS(name, address string, handler http.Handler, clients tls.ClientAuthType) error {
	watcher, err := certwatcher.New(p.options.TLSCert, p.options.TLSKey)
	if err != nil {
		return fmt.Errorf("read the certificate of %s: %w", name, err)
	}
	server := &http.Server{
		Addr:              address,
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    maxHeader,
		IdleTimeout:       2 * time.Minute,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: clients, GetCertificate: watcher.GetCertificate, NextProtos: []string{"h2", "http/1.1"}},
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
	if err := p.manager.Add(everywhere(watcher.Start)); err != nil {
		return fmt.Errorf("watch the certificate of %s: %w", name, err)
	}
	return p.manager.Add(everywhere(func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() {
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
			defer cancel()
			_ = server.Shutdown(ending)
		})
		defer stop()
		err := server.ListenAndServeTLS("", "")
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve %s on %s: %w", name, address, err)
	}))
}
