package controlplane

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/pki"
)

// The annotations of the Secret RootsSecret. They are written together with the
// roots, so that a rotation that was done is never done again.
const (
	annotationCertificates = "berth.dev/certificates-rotation"
	annotationSigningKeys  = "berth.dev/service-account-keys-rotation"
	// annotationRetireKey is when the last signing key stops being trusted.
	annotationRetireKey = "berth.dev/retire-service-account-key"
)

// oldKeyTrusted is for how long tokens that the last signing key signed are taken.
// The kubelets renew those of pods within the hour.
const oldKeyTrusted = 24 * time.Hour

// Rotated are the rotations that stored roots have gone through.
func Rotated(stored *corev1.Secret) v1beta1.Rotations {
	count := func(annotation string) int64 {
		n, err := strconv.ParseInt(stored.Annotations[annotation], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return v1beta1.Rotations{Certificates: count(annotationCertificates), ServiceAccountKeys: count(annotationSigningKeys)}
}

// RotateCertificates is the stored roots with new authorities, for the rotation of
// this number. Nothing below them holds any more (AKS: certificate-rotation).
func RotateCertificates(stored *corev1.Secret, id string, number int64, now time.Time) (*corev1.Secret, error) {
	return rotate(stored, func(roots *Roots, annotations map[string]string) error {
		annotations[annotationCertificates] = strconv.FormatInt(number, 10)
		return roots.renewAuthorities(id, now)
	})
}

// RotateSigningKeys is the stored roots with a new key for service accounts' tokens,
// for the rotation of this number. Tokens of the key before are taken for a day.
func RotateSigningKeys(stored *corev1.Secret, number int64, now time.Time) (*corev1.Secret, error) {
	return rotate(stored, func(roots *Roots, annotations map[string]string) error {
		key, public, err := pki.NewKeyPEM()
		if err != nil {
			return fmt.Errorf("make service account key: %w", err)
		}
		roots.ServiceAccountPublic = append(bytes.Clone(public), newestKey(roots.ServiceAccountPublic)...)
		roots.ServiceAccountKey = key
		annotations[annotationSigningKeys] = strconv.FormatInt(number, 10)
		annotations[annotationRetireKey] = now.Add(oldKeyTrusted).UTC().Format(time.RFC3339)
		return nil
	})
}

// RetireSigningKey is the stored roots without the signing key before the last
// rotation, or nil while that is still trusted or not there any more.
func RetireSigningKey(stored *corev1.Secret, now time.Time) (*corev1.Secret, error) {
	due := stored.Annotations[annotationRetireKey]
	if due == "" {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339, due)
	if err != nil {
		return nil, fmt.Errorf("read when the signing key before the last rotation ends: %w", err)
	}
	if now.Before(at) {
		return nil, nil
	}
	return rotate(stored, func(roots *Roots, annotations map[string]string) error {
		roots.ServiceAccountPublic = newestKey(roots.ServiceAccountPublic)
		delete(annotations, annotationRetireKey)
		return nil
	})
}

// newestKey is the first of several public keys.
func newestKey(public []byte) []byte {
	block, _ := pem.Decode(public)
	if block == nil {
		return public
	}
	return pem.EncodeToMemory(block)
}

// rotate changes a copy of the stored roots, which keeps the resource version that
// it was made from.
func rotate(stored *corev1.Secret, change func(*Roots, map[string]string) error) (*corev1.Secret, error) {
	roots, err := LoadRoots(stored)
	if err != nil {
		return nil, err
	}
	next := stored.DeepCopy()
	if next.Annotations == nil {
		next.Annotations = map[string]string{}
	}
	if err := change(roots, next.Annotations); err != nil {
		return nil, err
	}
	next.Data = roots.data()
	return next, nil
}

func (r *Roots) renewAuthorities(id string, now time.Time) error {
	for _, authority := range []struct {
		name string
		into **pki.Authority
	}{{"ca", &r.CA}, {"etcd-ca", &r.EtcdCA}, {"front-proxy-ca", &r.FrontProxyCA}} {
		made, err := pki.NewAuthority(authority.name+"-"+id, pki.CALife, now)
		if err != nil {
			return fmt.Errorf("make %s: %w", authority.name, err)
		}
		*authority.into = made
	}
	return nil
}
