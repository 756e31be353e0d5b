package containerservice

import (
	"context"
	"net/http"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

func (p provider) startCluster(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.powerCluster(ctx, r, policy.ActionStart, v1beta1.PowerRunning, v1beta1.StateStarting)
}

func (p provider) stopCluster(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.powerCluster(ctx, r, policy.ActionStop, v1beta1.PowerStopped, v1beta1.StateStopping)
}

// powerCluster starts or stops a cluster with all its pools: the pools are named in
// the operation too, so that they are tried anew and show what goes on.
func (p provider) powerCluster(ctx context.Context, r *arm.Request, action policy.PowerAction, code v1beta1.PowerCode, state v1beta1.ProvisioningState) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := found.refuseDeleting(); err != nil {
		return nil, err
	}
	if err := found.refusePower(action, p.Now()); err != nil {
		return nil, err
	}
	spec := found.cluster.Spec.DeepCopy()
	spec.PowerState = &v1beta1.PowerState{Code: code}
	return p.act(ctx, r, spec, poolSpecs(spec, found.others("")), state)
}

// act begins an operation that a POST asked for.
func (p provider) act(ctx context.Context, r *arm.Request, spec *v1beta1.ManagedClusterSpec, pools []v1beta1.AgentPoolSpec, state v1beta1.ProvisioningState) (*arm.Response, error) {
	op, err := p.Begin(ctx, r, clusterPut(r, spec, pools, state))
	if err != nil {
		return nil, err
	}
	return p.Accepted(operationsBase(r, spec.Location), op, http.StatusAccepted, nil), nil
}

// refusePower refuses what the cluster's power phase forbids. While an operation
// holds the cluster, that one is the better reason, and beginning another gives it.
func (v *view) refusePower(action policy.PowerAction, now time.Time) error {
	if v.held[v.cluster.Annotations[v1beta1.AnnotationOperation]] != nil {
		return nil
	}
	if violations := policy.ValidatePower(action, policy.PowerOf(v.cluster, now)); len(violations) > 0 {
		refusal := arm.Refusal(violations)
		refusal.Status, refusal.Target = http.StatusConflict, ""
		return refusal
	}
	return nil
}
