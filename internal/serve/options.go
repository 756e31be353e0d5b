// Package serve is one `berth serve` process: it reads the options and wires the
// ARM server, the gateway, the registry, the webhooks and the controllers to the
// management cluster. It decides nothing itself.
package serve

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"
)

// Options are the flags of `berth serve`.
type Options struct {
	// Kubeconfig of the management cluster; empty means that of the pod.
	Kubeconfig string
	// Catalogue is the file of the release catalogue.
	Catalogue string
	// TLSCert, TLSKey and CAFile are what the ARM server, the registry and the
	// webhooks present, and the authority that clients trust.
	TLSCert, TLSKey, CAFile string
	// IdentityDir holds tenant, application and signing key.
	IdentityDir string
	// ARMAddress, GatewayAddress, RegistryAddress, WebhookAddress and
	// HealthAddress are listened on.
	ARMAddress, GatewayAddress, RegistryAddress, WebhookAddress, HealthAddress string
	// BackupAddress gives backups back to the control planes that they are of.
	BackupAddress string
	// MetricsAddress serves Prometheus metrics; "0" means nowhere.
	MetricsAddress string
	// PublicURL and GatewayPublic are where clients reach ARM and the gateway.
	PublicURL, GatewayPublic string
	// RegistryDir stores the registry's content.
	RegistryDir string
	// BackupStore is where backups go if ServicePolicy names no store (a URL); empty
	// means nowhere. BackupScratch has room for a snapshot on its way there.
	BackupStore, BackupScratch string
	// RegistryMachineAddress is host:port of the registry as machines reach it.
	RegistryMachineAddress string
	// ProxyProtocolFrom are the sources whose PROXY header the gateway believes.
	ProxyProtocolFrom []string
	// PrivateRanges are never reached from a managed cluster's machines.
	PrivateRanges []string
	// Namespace is where the leader's Lease lies.
	Namespace string
	// PodUID is that of the pod in whose container this process is PID 1; empty outside of one.
	PodUID string
}

func (o *Options) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig of the management cluster (default: the pod's own)")
	flags.StringVar(&o.Catalogue, "catalogue", "/etc/berth/catalogue/catalogue.json", "release catalogue")
	flags.StringVar(&o.TLSCert, "tls-cert", "", "certificate of the ARM server, the registry and the webhooks")
	flags.StringVar(&o.TLSKey, "tls-key", "", "key of that certificate")
	flags.StringVar(&o.CAFile, "ca-file", "", "authority of that certificate, which machines trust for the registry")
	flags.StringVar(&o.IdentityDir, "identity-dir", "/etc/berth/identity", "tenant, application and signing key")
	flags.StringVar(&o.ARMAddress, "arm-address", ":8443", "address of the ARM server")
	flags.StringVar(&o.GatewayAddress, "gateway-address", ":6443", "address of the gateway to tenant API servers")
	flags.StringVar(&o.RegistryAddress, "registry-address", ":5000", "address of the registry")
	flags.StringVar(&o.WebhookAddress, "webhook-address", ":9443", "address of the admission webhooks")
	flags.StringVar(&o.HealthAddress, "health-address", ":8080", "address of health checks")
	flags.StringVar(&o.MetricsAddress, "metrics-address", "127.0.0.1:8081", "address of Prometheus metrics, 0 for none")
	flags.StringVar(&o.PublicURL, "public-url", "https://127.0.0.1:8443", "URL at which clients reach the ARM server")
	flags.StringVar(&o.GatewayPublic, "gateway-public", "127.0.0.1:6443", "host:port at which clients reach the gateway")
	flags.StringVar(&o.RegistryDir, "registry-dir", "/var/lib/berth-registry", "where the registry stores its content")
	flags.StringVar(&o.BackupAddress, "backup-address", ":8445", "address at which control planes get their backups back")
	flags.StringVar(&o.BackupStore, "backup-store", "", "URL of the store that backups go to if ServicePolicy names none, such as file:///backups")
	flags.StringVar(&o.BackupScratch, "backup-scratch", "", "directory with room for one sealed snapshot of each cluster (default: the system's)")
	flags.StringVar(&o.RegistryMachineAddress, "registry-machine-address", "100.65.0.50:5000", "host:port at which machines reach the registry")
	flags.StringSliceVar(&o.ProxyProtocolFrom, "proxy-protocol-from", nil, "sources whose PROXY protocol header the gateway believes")
	flags.StringSliceVar(&o.PrivateRanges, "private-range", nil, "CIDRs of the management side that machines may not reach (default: those of the embedded one)")
	flags.StringVar(&o.Namespace, "namespace", "berth-system", "namespace of the leader's Lease")
	flags.StringVar(&o.PodUID, "pod-uid", "", "UID of this process's pod, which holds that Lease also when its container starts again (default: each start is another)")
}

// validate checks what no other part checks before it is too late.
func (o *Options) validate() error {
	var errs []error
	for name, value := range map[string]string{"--tls-cert": o.TLSCert, "--tls-key": o.TLSKey, "--ca-file": o.CAFile} {
		if value == "" {
			errs = append(errs, fmt.Errorf("%s is required", name))
		}
	}
	if strings.Contains(o.PodUID, "$(") {
		errs = append(errs, fmt.Errorf("--pod-uid %q is no UID, and all pods would lead at once: set the variable from the pod's metadata.uid, or leave the flag out", o.PodUID))
	}
	if o.PodUID != "" && (o.HealthAddress == "" || o.HealthAddress == "0") {
		errs = append(errs, errors.New("--pod-uid needs a --health-address, which keeps two processes of a pod from leading at once: give one, or leave --pod-uid out"))
	}
	if _, err := o.trustedProxies(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (o *Options) trustedProxies() ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(o.ProxyProtocolFrom))
	for _, text := range o.ProxyProtocolFrom {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--proxy-protocol-from %q is not a range such as 10.0.0.1/32: %w", text, err)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}
