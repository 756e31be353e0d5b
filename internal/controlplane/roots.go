package controlplane

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/internal/pki"
)

// Roots are a cluster's roots of trust. They are generated together and stored in
// one Secret, so that a crash can leave all of them or none but never a mismatch.
// Everything the cluster has stored or signed depends on them, so that they change
// only in a rotation, and the key of what is encrypted at rest never does.
type Roots struct {
	// CA signs what the cluster's own clients and servers show.
	CA *pki.Authority
	// EtcdCA signs etcd and its only client; FrontProxyCA the aggregation layer.
	EtcdCA, FrontProxyCA *pki.Authority
	// ServiceAccountKey and its public half sign and check service account tokens.
	ServiceAccountKey, ServiceAccountPublic []byte
	// EncryptionConfig is the EncryptionConfiguration with the key of the Secrets at rest.
	EncryptionConfig []byte
}

// The keys of the Secret RootsSecret. The cluster CA stands under the names that
// Kubernetes gives a TLS Secret.
const (
	keyCACert           = corev1.TLSCertKey
	keyCAKey            = corev1.TLSPrivateKeyKey
	keyEtcdCACert       = "etcd-ca.crt"
	keyEtcdCAKey        = "etcd-ca.key"
	keyFrontProxyCACert = "front-proxy-ca.crt"
	keyFrontProxyCAKey  = "front-proxy-ca.key"
	keySAKey            = "sa.key"
	keySAPublic         = "sa.pub"
	keyEncryption       = "encryption.yaml"
)

// NewRoots generates the roots of the cluster with this id, valid for
// pki.CALife from now (D:certificate-rotation).
func NewRoots(id string, now time.Time) (*Roots, error) {
	var roots Roots
	err := roots.renewAuthorities(id, now)
	if err != nil {
		return nil, err
	}
	if roots.ServiceAccountKey, roots.ServiceAccountPublic, err = pki.NewKeyPEM(); err != nil {
		return nil, fmt.Errorf("make service account key: %w", err)
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("draw encryption key: %w", err)
	}
	roots.EncryptionConfig = encryptionConfig(key)
	return &roots, nil
}

// Secret is how the roots are stored.
func (r *Roots) Secret(in Input) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: in.meta(RootsSecret),
		Type:       corev1.SecretTypeTLS,
		Data:       r.data(),
	}
}

func (r *Roots) data() map[string][]byte {
	return map[string][]byte{
		keyCACert: r.CA.CertPEM, keyCAKey: r.CA.KeyPEM,
		keyEtcdCACert: r.EtcdCA.CertPEM, keyEtcdCAKey: r.EtcdCA.KeyPEM,
		keyFrontProxyCACert: r.FrontProxyCA.CertPEM, keyFrontProxyCAKey: r.FrontProxyCA.KeyPEM,
		keySAKey: r.ServiceAccountKey, keySAPublic: r.ServiceAccountPublic,
		keyEncryption: r.EncryptionConfig,
	}
}

// LoadRoots reads the roots back. An error means that the Secret was damaged:
// making new roots would lose the cluster.
func LoadRoots(secret *corev1.Secret) (*Roots, error) {
	roots := Roots{
		ServiceAccountKey:    secret.Data[keySAKey],
		ServiceAccountPublic: secret.Data[keySAPublic],
		EncryptionConfig:     secret.Data[keyEncryption],
	}
	for _, name := range []string{keySAKey, keySAPublic, keyEncryption} {
		if len(secret.Data[name]) == 0 {
			return nil, fmt.Errorf("secret %s/%s has no %s", secret.Namespace, secret.Name, name)
		}
	}
	for _, authority := range []struct {
		cert, key string
		into      **pki.Authority
	}{
		{keyCACert, keyCAKey, &roots.CA},
		{keyEtcdCACert, keyEtcdCAKey, &roots.EtcdCA},
		{keyFrontProxyCACert, keyFrontProxyCAKey, &roots.FrontProxyCA},
	} {
		loaded, err := pki.LoadAuthority(secret.Data[authority.cert], secret.Data[authority.key])
		if err != nil {
			return nil, fmt.Errorf("secret %s/%s, %s: %w", secret.Namespace, secret.Name, authority.cert, err)
		}
		*authority.into = loaded
	}
	return &roots, nil
}

// encryptionConfig encrypts Secrets with secretbox. There is no identity provider,
// since no Secret was ever stored in the clear.
func encryptionConfig(key []byte) []byte {
	return []byte(`apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
      - name: key1
        secret: ` + base64.StdEncoding.EncodeToString(key) + `
`)
}
