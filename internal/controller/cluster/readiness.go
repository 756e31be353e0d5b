package cluster

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// probeTimeout bounds one question to an API server.
const probeTimeout = 2 * time.Second

// readiness asks the API server, and sees what the add-on controller reported.
func (r *reconciler) readiness(ctx context.Context, p *pass) (bool, error) {
	if p.input.Stopped {
		return true, nil
	}
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	p.found.notReady = r.Tenants.Ready(probe, p.cluster.Spec.ID)
	if p.found.notReady != nil {
		p.lookIn(probeAgain)
	}
	p.found.addonsApplied = componentsIn(p.cluster, p.cluster.Status.CurrentKubernetesVersion)
	return true, nil
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
