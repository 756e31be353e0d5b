package host

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/internal/identity"
	"berth.dev/berth/internal/install"
	"berth.dev/berth/internal/pki"
)

const (
	// leafLife is that of every certificate below our authorities, and renewBefore
	// what must be left of it at an up. The machine may run for years between two.
	leafLife    = 10 * 365 * 24 * time.Hour
	renewBefore = 5 * 365 * 24 * time.Hour
)

// The management cluster's API server, as the host and the machine reach it.
const (
	apiServerURL     = "https://" + MachineAddress + ":6443"
	kubernetesSvcIP  = "100.65.0.1"
	registrySvcIP    = "100.65.0.50"
	mastersGroup     = "system:masters"
	kubernetesCAName = "berth-management-ca"
)

// keystore is a directory of certificates and keys, each made once.
type keystore struct {
	dir string
	now time.Time
}

func (k keystore) path(name string) string { return filepath.Join(k.dir, name) }

// once returns the content of a file, which make provides when there is none.
func (k keystore) once(name string, create func() ([]byte, error)) ([]byte, error) {
	raw, err := os.ReadFile(k.path(name))
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return raw, err
	}
	if raw, err = create(); err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	return raw, writeFile(k.path(name), raw, 0o600)
}

// authority returns the authority name.crt and name.key. The certificate is
// written last: a key alone is what a crash left, and is replaced.
func (k keystore) authority(name, commonName string) (*pki.Authority, error) {
	certificate, err := os.ReadFile(k.path(name + ".crt"))
	if err == nil {
		key, err := os.ReadFile(k.path(name + ".key"))
		if err != nil {
			return nil, fmt.Errorf("load authority %s: %w", name, err)
		}
		return pki.LoadAuthority(certificate, key)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load authority %s: %w", name, err)
	}
	made, err := pki.NewAuthority(commonName, pki.CALife, k.now)
	if err != nil {
		return nil, err
	}
	return made, k.writePair(name, made.CertPEM, made.KeyPEM)
}

func (k keystore) writePair(name string, certificate, key []byte) error {
	if err := writeFile(k.path(name+".key"), key, 0o600); err != nil {
		return err
	}
	return writeFile(k.path(name+".crt"), certificate, 0o600)
}

// leaf returns the certificate name.crt and its key, issuing it anew when it is
// missing, was asked for differently, has not long to live, or is not valid yet, as
// after an up while the clock was ahead.
func (k keystore) leaf(name string, authority *pki.Authority, request pki.Request) (certificate, key []byte, err error) {
	certificate, certErr := os.ReadFile(k.path(name + ".crt"))
	key, keyErr := os.ReadFile(k.path(name + ".key"))
	if certErr == nil && keyErr == nil && fits(certificate, authority, request, k.now) {
		return certificate, key, nil
	}
	request.Life = leafLife
	if certificate, key, err = authority.Issue(request, k.now); err != nil {
		return nil, nil, err
	}
	return certificate, key, k.writePair(name, certificate, key)
}

// fits says whether a certificate still answers the request.
func fits(certificate []byte, authority *pki.Authority, request pki.Request, now time.Time) bool {
	block, _ := pem.Decode(certificate)
	if block == nil {
		return false
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.CheckSignatureFrom(authority.Cert) != nil {
		return false
	}
	return leaf.NotAfter.Sub(now) > renewBefore && !now.Before(leaf.NotBefore) &&
		leaf.Subject.CommonName == request.CommonName &&
		slices.Equal(leaf.Subject.Organization, request.Organizations) &&
		slices.Equal(leaf.DNSNames, request.DNSNames) &&
		slices.EqualFunc(leaf.IPAddresses, request.IPs, net.IP.Equal)
}

// kubernetesKeys makes the management cluster's PKI and kubeconfigs.
func kubernetesKeys(paths Paths, now time.Time) error {
	k := keystore{paths.kubernetesPKI(), now}
	cluster, err := k.authority("ca", kubernetesCAName)
	if err != nil {
		return err
	}
	etcd, err := k.authority("etcd-ca", "berth-management-etcd-ca")
	if err != nil {
		return err
	}
	front, err := k.authority("front-proxy-ca", "berth-management-front-proxy-ca")
	if err != nil {
		return err
	}
	for name, leaf := range kubernetesLeaves(cluster, etcd, front) {
		if _, _, err := k.leaf(name, leaf.authority, leaf.request); err != nil {
			return err
		}
	}
	for path, user := range kubeconfigs(paths) {
		if err := k.kubeconfig(path, cluster, user); err != nil {
			return err
		}
	}
	if err := k.serviceAccountKeys(); err != nil {
		return err
	}
	_, err = k.once("encryption.yaml", newEncryptionConfig)
	return err
}

func loopback() []net.IP { return []net.IP{net.IPv4(127, 0, 0, 1)} }

type leaf struct {
	authority *pki.Authority
	request   pki.Request
}

func kubernetesLeaves(cluster, etcd, front *pki.Authority) map[string]leaf {
	return map[string]leaf{
		"apiserver": {cluster, pki.Request{
			CommonName: "kube-apiserver",
			DNSNames:   []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"},
			IPs:        append([]net.IP{net.ParseIP(MachineAddress), net.ParseIP(kubernetesSvcIP)}, loopback()...),
			Usage:      pki.Server,
		}},
		"apiserver-kubelet-client": {cluster, pki.Request{
			CommonName: "kube-apiserver-kubelet-client", Organizations: []string{mastersGroup}, Usage: pki.Client,
		}},
		"etcd-server": {etcd, pki.Request{
			CommonName: "etcd", DNSNames: []string{"localhost"}, IPs: append(loopback(), net.ParseIP(MachineAddress)), Usage: pki.Server | pki.Client,
		}},
		"etcd-backup":        {etcd, pki.Request{CommonName: etcdBackupUser, Usage: pki.Client}},
		"etcd-client":        {etcd, pki.Request{CommonName: "kube-apiserver", Usage: pki.Client}},
		"front-proxy-client": {front, pki.Request{CommonName: "front-proxy-client", Usage: pki.Client}},
	}
}

// kubeconfigs are the files that hold a client of the management API server,
// and the certificates in them.
func kubeconfigs(paths Paths) map[string]pki.Request {
	return map[string]pki.Request{
		paths.adminKubeconfig(): {CommonName: "berth-admin", Organizations: []string{mastersGroup}, Usage: pki.Client},
		filepath.Join(paths.kubernetesPKI(), "kubelet.kubeconfig"): {
			CommonName: "system:node:" + MachineName, Organizations: []string{"system:nodes"}, Usage: pki.Client,
		},
		filepath.Join(paths.kubernetesPKI(), "controller-manager.kubeconfig"): {CommonName: "system:kube-controller-manager", Usage: pki.Client},
		filepath.Join(paths.kubernetesPKI(), "scheduler.kubeconfig"):          {CommonName: "system:kube-scheduler", Usage: pki.Client},
	}
}

func (k keystore) kubeconfig(path string, authority *pki.Authority, request pki.Request) error {
	certificate, key, err := k.leaf("client-"+filepath.Base(path), authority, request)
	if err != nil {
		return err
	}
	raw, err := pki.Kubeconfig(pki.KubeconfigRequest{
		Cluster: "berth-management", User: request.CommonName, Server: apiServerURL,
		CA: authority.CertPEM, Cert: certificate, Key: key,
	})
	if err != nil {
		return err
	}
	return writeFile(path, raw, 0o600)
}

// serviceAccountKeys makes sa.key and sa.pub. The private half is written last.
func (k keystore) serviceAccountKeys() error {
	if _, err := os.Stat(k.path("sa.key")); err == nil {
		return nil
	}
	private, public, err := pki.NewKeyPEM()
	if err != nil {
		return err
	}
	if err := writeFile(k.path("sa.pub"), public, 0o600); err != nil {
		return err
	}
	return writeFile(k.path("sa.key"), private, 0o600)
}

// newEncryptionConfig encrypts Secrets at rest with a new key.
func newEncryptionConfig() ([]byte, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("draw encryption key: %w", err)
	}
	return fmt.Appendf(nil, `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox: {keys: [{name: key1, secret: %s}]}
  - identity: {}
`, base64.StdEncoding.EncodeToString(key)), nil
}

// berthKeys are what Berth itself is trusted by.
type berthKeys struct {
	CA, Cert, Key []byte
	SigningKey    []byte
	// ClientSecret never leaves the state directory but by `berth env`; the
	// cluster has only its hash.
	ClientSecret, ClientSecretHash string
	// UserPasswordHash is that of the user's password, which only the state
	// directory has.
	UserPasswordHash string
	// Engineers are support's, as identity.FileEngineers has them.
	Engineers []byte
}

// ensureBerthKeys makes Berth's authority, server certificate, token key, client
// secret and user's password, each once. The hashes follow the secrets.
func ensureBerthKeys(paths Paths, now time.Time) (berthKeys, error) {
	var keys berthKeys
	k := keystore{paths.berthPKI(), now}
	// OpenSSL compares names without case: an authority that was called like its certificate would look self-signed.
	authority, err := k.authority("ca", "Berth authority")
	if err != nil {
		return keys, err
	}
	keys.CA = authority.CertPEM
	keys.Cert, keys.Key, err = k.leaf("server", authority, pki.Request{
		CommonName: "berth", DNSNames: install.ServerNames(),
		IPs: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(registrySvcIP)}, Usage: pki.Server,
	})
	if err != nil {
		return keys, err
	}
	if keys.SigningKey, err = k.once("signing-key.pem", identity.NewSigningKey); err != nil {
		return keys, err
	}
	if keys.ClientSecret, keys.ClientSecretHash, err = k.secret("client-secret"); err != nil {
		return keys, err
	}
	if _, keys.UserPasswordHash, err = k.secret("user-password"); err != nil {
		return keys, err
	}
	keys.Engineers, err = k.engineers()
	return keys, err
}

// secret draws a secret once and makes its hash, again when the operator put
// another secret in its place. White space around the secret does not count.
func (k keystore) secret(name string) (secret, hash string, err error) {
	drawn, err := k.once(name, func() ([]byte, error) { return []byte(identity.NewSecret()), nil })
	if err != nil {
		return "", "", err
	}
	secret = strings.TrimSpace(string(drawn))
	if secret == "" {
		return "", "", fmt.Errorf("%s is empty: write a secret into it, or delete it to have one drawn", k.path(name))
	}
	kept, err := os.ReadFile(k.path(name + "-hash"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	if identity.Matches(string(kept), secret) {
		return secret, string(kept), nil
	}
	if hash, err = identity.HashSecret(secret); err != nil {
		return "", "", fmt.Errorf("make %s-hash: %w", name, err)
	}
	return secret, hash, writeFile(k.path(name+"-hash"), []byte(hash), 0o600)
}
