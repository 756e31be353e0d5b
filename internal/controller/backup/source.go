package backup

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// NewSource gives clusters' backups back to who shows that cluster's own certificate for
// backups: it opens the cluster's etcd as well, so that nobody learns more here. The
// reader must see Secrets, and is no cache.
func NewSource(cfg Config, reader client.Reader) http.Handler {
	s := vaults{reader: reader, store: cfg.Store}
	return backup.Source{Allow: s.allow, Vault: s.vault, Log: cfg.Log}.Handler()
}

type vaults struct {
	reader client.Reader
	store  string
}

// allow checks the caller's certificate against the authority of the cluster's etcd.
func (s vaults) allow(r *http.Request, id string) error {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return errors.New("no certificate was shown")
	}
	var roots corev1.Secret
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(id), Name: controlplane.RootsSecret}
	if err := s.reader.Get(r.Context(), key, &roots); err != nil {
		return fmt.Errorf("the cluster's authority is not known: %w", err)
	}
	pool, err := controlplane.EtcdClients(&roots)
	if err != nil {
		return err
	}
	leaf := r.TLS.PeerCertificates[0]
	if leaf.Subject.CommonName != controlplane.BackupUser {
		return errors.New("the certificate is not that of backups")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return errors.New("the certificate is not the cluster's")
	}
	return nil
}

// vault is where a cluster's backups are, and how far they are known to reach.
func (s vaults) vault(ctx context.Context, id string) (backup.Vault, error) {
	var service v1beta1.ServicePolicy
	err := s.reader.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service)
	if client.IgnoreNotFound(err) != nil {
		return backup.Vault{}, fmt.Errorf("read service policy: %w", err)
	}
	var secret corev1.Secret
	if err := s.reader.Get(ctx, client.ObjectKey{Namespace: v1beta1.SystemNamespace, Name: v1beta1.BackupKeySecret(id)}, &secret); err != nil {
		return backup.Vault{}, fmt.Errorf("key of backups: %w", err)
	}
	reached, err := s.reached(ctx, id)
	return backup.Vault{Stores: policy.Backups(service.Spec, s.store).Stores, Key: string(secret.Data[keyName]), Reached: reached}, err
}

// reached is a revision that is known to be stored; zero if none is. Of a cluster that is
// recovered nothing is known before it runs but what was kept when it was deleted.
func (s vaults) reached(ctx context.Context, id string) (int64, error) {
	var namespace corev1.Namespace
	if err := s.reader.Get(ctx, client.ObjectKey{Name: v1beta1.ControlPlaneNamespace(id)}, &namespace); err != nil {
		return 0, fmt.Errorf("find the cluster: %w", err)
	}
	owner, ok := controlplane.OwnerOf(&namespace)
	if !ok {
		return 0, nil
	}
	var cluster v1beta1.ManagedCluster
	if err := s.reader.Get(ctx, owner, &cluster); err != nil {
		return 0, fmt.Errorf("find the cluster: %w", err)
	}
	if cluster.Spec.ID != id {
		return 0, nil
	}
	if last := cluster.Status.Backup; last != nil && max(last.Revision, last.RecoveryRevision) > 0 {
		return max(last.Revision, last.RecoveryRevision), nil
	}
	var deleted v1beta1.DeletedCluster
	err := s.reader.Get(ctx, client.ObjectKey{Namespace: owner.Namespace, Name: id}, &deleted)
	if client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("find what was kept of the cluster: %w", err)
	}
	return deleted.Spec.RecoveryRevision, nil
}
