package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/controlplane"
)

// foundation makes the namespaces, closes them, and takes the Services' addresses,
// which certificates and flags are made from.
func (r *reconciler) foundation(ctx context.Context, p *pass) (bool, error) {
	if err := r.applier.Apply(ctx, r.client, p.input.ID, controlplane.Foundation(p.input)...); err != nil {
		return false, err
	}
	for name, address := range map[string]*string{
		controlplane.APIServerService: &p.input.APIServerAddress,
		controlplane.EtcdService:      &p.input.EtcdAddress,
	} {
		var service corev1.Service
		if err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: name}, &service); err != nil {
			// Somebody deleted what was applied a while ago.
			r.applier.Forget(p.input.ID)
			return false, fmt.Errorf("read service %s: %w", name, err)
		}
		*address = service.Spec.ClusterIP
	}
	if err := r.memberAddresses(ctx, p); err != nil {
		return false, err
	}
	p.found.address = p.input.APIServerAddress
	return true, nil
}

// memberAddresses are those of the Services of etcd's members, if it is highly available.
func (r *reconciler) memberAddresses(ctx context.Context, p *pass) error {
	if p.input.Members == 0 {
		return nil
	}
	for ordinal := range int32(controlplane.Replicas) {
		var service corev1.Service
		if err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: controlplane.MemberName(ordinal)}, &service); err != nil {
			r.applier.Forget(p.input.ID)
			return fmt.Errorf("read service of a member of etcd: %w", err)
		}
		p.input.MemberAddresses = append(p.input.MemberAddresses, service.Spec.ClusterIP)
	}
	return nil
}
