package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/controlplane"
)

// rotateKeys replaces the key that signs service accounts' tokens, if that was asked
// for, and takes the one before out of trust when its time is over. The control
// plane follows, since its revision changes with the keys.
func (r *reconciler) rotateKeys(ctx context.Context, p *pass, stored *corev1.Secret) (*corev1.Secret, error) {
	asked := p.cluster.Spec.Rotations.Asked().ServiceAccountKeys
	var next *corev1.Secret
	var err error
	if asked > controlplane.Rotated(stored).ServiceAccountKeys {
		next, err = controlplane.RotateSigningKeys(stored, asked, p.now)
	} else {
		next, err = controlplane.RetireSigningKey(stored, p.now)
	}
	if err != nil || next == nil {
		return stored, err
	}
	if err := r.client.Update(ctx, next); err != nil {
		return nil, fmt.Errorf("store new service account keys: %w", err)
	}
	return next, nil
}

// rotateCertificates replaces the cluster's authorities once nothing runs any more
// that trusts them: nodes and control plane then start as after a stop, with new
// certificates below the new authorities (AKS: certificate-rotation).
func (r *reconciler) rotateCertificates(ctx context.Context, p *pass) (bool, error) {
	asked := p.cluster.Spec.Rotations.Asked().Certificates
	if asked <= p.cluster.Status.Rotations.Certificates || !p.found.off {
		return true, nil
	}
	var stored corev1.Secret
	key := client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: controlplane.RootsSecret}
	if err := r.reader.Get(ctx, key, &stored); err != nil {
		return false, fmt.Errorf("read roots of trust: %w", err)
	}
	if asked > controlplane.Rotated(&stored).Certificates {
		next, err := controlplane.RotateCertificates(&stored, p.input.ID, asked, p.now)
		if err != nil {
			return false, err
		}
		if err := r.client.Update(ctx, next); err != nil {
			return false, fmt.Errorf("store new authorities: %w", err)
		}
	}
	r.Tenants.Drop(p.cluster.Spec.ID)
	p.found.renewed = true
	p.lookIn(atOnce)
	return true, nil
}
