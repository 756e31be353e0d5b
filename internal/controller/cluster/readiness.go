package cluster

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// probeTimeout bounds one question to an API server, and probeBriefly one whose etcd is
// away: it waits for that as long as it is let, and something else may be to be done.
const (
	probeTimeout = 2 * time.Second
	probeBriefly = 300 * time.Millisecond
)

// readiness asks the API server, and sees what the add-on controller reported.
func (r *reconciler) readiness(ctx context.Context, p *pass) (bool, error) {
	if p.input.Stopped {
		return true, nil
	}
	p.found.addonsApplied = componentsIn(p.cluster, p.cluster.Status.CurrentKubernetesVersion)
	if p.found.recovering {
		return true, nil
	}
	timeout := probeTimeout
	if !r.etcdServes(ctx, p) {
		timeout = probeBriefly
		p.lookIn(lookAgain) // for a second an API server says what it knew of etcd
	}
	probe, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p.found.notReady = r.Tenants.Ready(probe, p.cluster.Spec.ID)
	if p.found.notReady != nil {
		p.lookIn(probeAgain)
	}
	return true, nil
}

// etcdServes says whether enough members of etcd are ready for it to answer, as far as the
// cache knows.
func (r *reconciler) etcdServes(ctx context.Context, p *pass) bool {
	var set appsv1.StatefulSet
	err := r.client.Get(ctx, client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: controlplane.EtcdStatefulSet}, &set)
	return err == nil && set.Status.ReadyReplicas > p.input.Members/2
}

// defaultCreateTimeout is ServicePolicy.spec.createTimeout when nothing is set.
const defaultCreateTimeout = 30 * time.Minute

// patience gives up on a create that takes too long. The cluster is still worked
// on, and Succeeded if it comes up after all.
func (r *reconciler) patience(ctx context.Context, p *pass) (bool, error) {
	if p.found.settled() || p.found.broken != nil || !creating(p.cluster.Status.ProvisioningState) {
		return true, nil
	}
	service, err := r.servicePolicy(ctx)
	if err != nil {
		return false, err
	}
	timeout := defaultCreateTimeout
	if service.CreateTimeout != nil {
		timeout = service.CreateTimeout.Duration
	}
	left := p.cluster.CreationTimestamp.Add(timeout).Sub(p.now)
	if left > 0 {
		p.lookIn(left)
		return true, nil
	}
	p.found.broken = &v1beta1.OperationError{
		Code:    "CreateTimeout",
		Message: fmt.Sprintf("the cluster was not ready within %s: %s", timeout, p.found.missing()),
	}
	return true, nil
}

// servicePolicy reads what the service promises; empty if nothing is set.
func (r *reconciler) servicePolicy(ctx context.Context) (v1beta1.ServicePolicySpec, error) {
	var service v1beta1.ServicePolicy
	if err := r.client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return service.Spec, fmt.Errorf("read ServicePolicy: %w", err)
	}
	return service.Spec, nil
}

func creating(state v1beta1.ProvisioningState) bool {
	return state == "" || state == v1beta1.StateCreating
}
