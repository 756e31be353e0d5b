package install

import (
	"errors"
	"fmt"
	"net"

	"berth.dev/berth/api/v1beta1"
)

// The names of Berth's objects.
const (
	Namespace        = v1beta1.SystemNamespace
	Name             = "berth"
	TLSSecret        = "berth-tls"
	IdentitySecret   = "berth-identity"
	CAConfigMap      = "berth-ca"
	CAKey            = "ca.crt"
	CatalogueMap     = "berth-catalogue"
	CatalogueKey     = "catalogue.json"
	RegistryService  = "berth-registry"
	WebhookService   = "berth-webhook"
	ARMNodePort      = 30443
	GatewayNodePort  = 30643
	RegistryPort     = 5000
	portARM          = 8443
	portGateway      = 6443
	portWebhook      = 9443
	portHealth       = 8080
	portBackup       = 8445
	backupService    = "berth-backup"
	catalogueDir     = "/etc/berth/catalogue"
	tlsDir           = "/etc/berth/tls"
	identityDir      = "/etc/berth/identity"
	caDir            = "/etc/berth/ca"
	registryDir      = "/var/lib/berth-registry"
	labelName        = "app.kubernetes.io/name"
	registryClaim    = "berth-registry"
	registryCapacity = "20Gi"
	backupDir        = "/var/lib/berth-backups"
	backupScratchDir = "/var/lib/berth-backup-scratch"
	// BackupStore is the URL of the store that Berth is installed with.
	BackupStore    = "file://" + backupDir
	backupClaim    = "berth-backups"
	backupCapacity = "100Gi"
	// BackupCredentials is a Secret of the operator's, with the environment variables
	// that object stores need.
	BackupCredentials = "berth-backup-credentials"
)

// Config is all that Berth's objects depend on.
type Config struct {
	// Image is Berth's own.
	Image string
	// PublicURL is where clients reach ARM, and GatewayAddress (host:port) the
	// tenants' API servers.
	PublicURL, GatewayAddress string
	// ProxyProtocolFrom are the networks (CIDRs) whose PROXY headers the gateway believes.
	ProxyProtocolFrom []string
	// Catalogue is catalogue.json.
	Catalogue []byte
	// CA signed Cert, whose names are ServerNames and the addresses that clients
	// use. All are PEM.
	CA, Cert, Key []byte
	Identity      Identity
	Registry      Registry
	// BackupHostPath is a directory of the node that backups go to; empty means a
	// volume. ServicePolicy may name other stores.
	BackupHostPath string
	// Management has Berth back up the management cluster's own etcd; nil where
	// somebody else runs that cluster.
	Management *Management
	// NoClusterDNS is for a cluster without a DNS service.
	NoClusterDNS bool
}

// Management says how the management cluster's etcd is reached and for whom its backups
// are sealed (C3, X3). The key that opens them stays with the operator.
type Management struct {
	// Endpoint is the URL of etcd; CA, Cert and Key are PEM.
	Endpoint      string
	CA, Cert, Key []byte
	// PublicKey is the public half of the recovery key.
	PublicKey string
	// Bundle is the machine's own files, sealed, and Digest changes with them.
	Bundle []byte
	Digest string
}

// Identity is the directory that ARM's callers log in to; see package identity.
type Identity struct {
	TenantID, ClientID string
	// ClientSecretHash is the secret's hash: the secret itself stays with its owner.
	ClientSecretHash string
	// UserName is the one user's, and UserPasswordHash the password's hash.
	UserName, UserPasswordHash string
	// Engineers are support's, as identity.FileEngineers has them.
	Engineers  []byte
	SigningKey []byte
}

// Registry says where the images are that machines pull.
type Registry struct {
	// HostPath is a directory of the node that has them; empty means a volume.
	HostPath string
	// ClusterIP fixes the address of the registry's Service; empty lets the cluster choose.
	ClusterIP string
}

// ServerNames are the DNS names that Berth's certificate must carry.
func ServerNames() []string {
	names := []string{"localhost"}
	for _, service := range []string{Name, RegistryService, WebhookService} {
		host := service + "." + Namespace + ".svc"
		names = append(names, host, host+".cluster.local")
	}
	return names
}

// Validate says everything that a configuration lacks.
func (c Config) Validate() error {
	var problems []error
	for name, empty := range map[string]bool{
		"image": c.Image == "", "public URL": c.PublicURL == "", "gateway address": c.GatewayAddress == "",
		"catalogue": len(c.Catalogue) == 0, "authority": len(c.CA) == 0, "certificate": len(c.Cert) == 0, "key": len(c.Key) == 0,
		"tenant id": c.Identity.TenantID == "", "client id": c.Identity.ClientID == "",
		"client secret hash": c.Identity.ClientSecretHash == "", "user name": c.Identity.UserName == "",
		"user password hash": c.Identity.UserPasswordHash == "", "signing key": len(c.Identity.SigningKey) == 0,
	} {
		if empty {
			problems = append(problems, fmt.Errorf("the %s is missing", name))
		}
	}
	for _, cidr := range c.ProxyProtocolFrom {
		if _, _, err := net.ParseCIDR(cidr); err != nil {
			problems = append(problems, fmt.Errorf("proxy protocol source: %w", err))
		}
	}
	if ip := c.Registry.ClusterIP; ip != "" && net.ParseIP(ip) == nil {
		problems = append(problems, fmt.Errorf("registry address %q is not an IP address", ip))
	}
	return errors.Join(problems...)
}
