package controlplane

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// BackupSecret holds client.crt and client.key, with which Berth reads etcd for backups
// and a control plane shows whose backups it may have back.
const BackupSecret = "backup"

// BackupUser is the name in that certificate.
const BackupUser = "berth-backup"

// BackupTLS is how etcd is dialled for backups, from the Secrets RootsSecret and
// BackupSecret.
func BackupTLS(roots, backup *corev1.Secret) (*tls.Config, error) {
	pool, err := EtcdClients(roots)
	if err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(backup.Data["client.crt"], backup.Data["client.key"])
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", backup.Namespace, backup.Name, err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{certificate}}, nil
}

// EtcdClients is the authority of a cluster's etcd and of its clients.
func EtcdClients(roots *corev1.Secret) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots.Data[keyEtcdCACert]) {
		return nil, fmt.Errorf("secret %s/%s has no %s", roots.Namespace, roots.Name, keyEtcdCACert)
	}
	return pool, nil
}
