package containerservice

import (
	"context"
	"net/http"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/support"
)

// powerStates are what goes on while a cluster or pool comes to a power code.
var powerStates = map[v1beta1.PowerCode]v1beta1.ProvisioningState{
	v1beta1.PowerRunning: v1beta1.StateStarting,
	v1beta1.PowerStopped: v1beta1.StateStopping,
}

func (p provider) startCluster(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.powerCluster(ctx, r, policy.ActionStart, v1beta1.PowerRunning)
}

func (p provider) stopCluster(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.powerCluster(ctx, r, policy.ActionStop, v1beta1.PowerStopped)
}

// powerCluster starts or stops a cluster with all its pools: the pools are named in
// the operation too, so that they are tried anew and show what goes on.
func (p provider) powerCluster(ctx context.Context, r *arm.Request, action policy.PowerAction, code v1beta1.PowerCode) (*arm.Response, error) {
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
	if action == policy.ActionStop {
		if err := p.refuseStop(ctx, found); err != nil {
			return nil, err
		}
	}
	spec := found.cluster.Spec.DeepCopy()
	spec.PowerState = &v1beta1.PowerState{Code: code}
	return p.act(ctx, r, spec, poolSpecs(spec, found.others("")), powerStates[code])
}

// refuseStop refuses a stop that the cluster's own webhooks would hold up (AKS:
// start-stop-cluster). Where the cluster does not answer nobody can tell, nor could
// anybody drain its nodes: it may be stopped. So may one whose stop or start came to nothing.
func (p provider) refuseStop(ctx context.Context, found *view) error {
	if policy.PowerPhaseOf(found.cluster.Spec.PowerState, found.cluster.Status.PowerState) != policy.PhaseRunning {
		return nil
	}
	if p.StopWebhooks == nil || found.held[found.cluster.Annotations[v1beta1.AnnotationOperation]] != nil {
		return nil
	}
	hooks, _ := p.StopWebhooks(ctx, found.cluster)
	if violations := support.RefuseStop(hooks); len(violations) > 0 {
		return arm.Refusal(violations)
	}
	return nil
}

// reallocation is the operation in which a PUT brings a cluster back with what
// it changes of the cluster and its pools (J5).
func (v *view) reallocation(r *arm.Request, spec *v1beta1.ManagedClusterSpec, changed []v1beta1.AgentPoolProfile) v1beta1.OperationSpec {
	spec.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerRunning}
	return clusterPut(r, spec, poolSpecs(spec, append(changed, v.unnamed(changed)...)), v1beta1.StateStarting)
}

func (p provider) rotateCertificates(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.rotate(ctx, r, v1beta1.StateRotatingCertificates, func(rotations *v1beta1.Rotations) { rotations.Certificates++ })
}

func (p provider) rotateSigningKeys(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.rotate(ctx, r, v1beta1.StateUpdating, func(rotations *v1beta1.Rotations) { rotations.ServiceAccountKeys++ })
}

// rotate asks for new roots of trust. A rotation that is still going on is not asked
// for once more, but followed by a new attempt.
func (p provider) rotate(ctx context.Context, r *arm.Request, state v1beta1.ProvisioningState, ask func(*v1beta1.Rotations)) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := found.refuseChange(p.Now()); err != nil {
		return nil, err
	}
	spec := found.cluster.Spec.DeepCopy()
	rotations := found.cluster.Status.Rotations
	ask(&rotations)
	asked := spec.Rotations.Asked()
	spec.Rotations = &v1beta1.Rotations{
		Certificates:       max(asked.Certificates, rotations.Certificates),
		ServiceAccountKeys: max(asked.ServiceAccountKeys, rotations.ServiceAccountKeys),
	}
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
		return powerRefusal(violations)
	}
	return nil
}

// refuseConfigure refuses to change what belongs to a cluster that is being deleted or
// stopped, or is stopped, whatever operation holds it: it is written at once (AKS:
// start-stop-cluster).
func (v *view) refuseConfigure(now time.Time) error {
	if err := v.refuseDeleting(); err != nil {
		return err
	}
	if violations := policy.ValidatePower(policy.ActionConfigure, policy.PowerOf(v.cluster, now)); len(violations) > 0 {
		return powerRefusal(violations)
	}
	return nil
}

// refusePoolPower refuses to stop a pool that cannot be stopped now; pool is nil
// for a new one. While an operation holds it, that one is the better reason.
func (v *view) refusePoolPower(pool *v1beta1.AgentPool, profile *v1beta1.AgentPoolProfile) error {
	in := policy.PoolPowerInput{New: profile}
	if pool != nil {
		in.Old, in.State, in.Power = &pool.Spec.AgentPoolProfile, pool.Status.ProvisioningState, pool.Status.PowerState
	}
	if pool != nil && v.held[pool.Annotations[v1beta1.AnnotationOperation]] != nil {
		return nil
	}
	if violations := policy.ValidatePoolPower(in); len(violations) > 0 {
		return powerRefusal(violations)
	}
	return nil
}

// powerRefusal says that a request does not fit what runs and what does not.
func powerRefusal(violations []policy.Violation) error {
	refusal := arm.Refusal(violations)
	if refusal.Code == policy.CodeOperationNotAllowed {
		refusal.Status, refusal.Target = http.StatusConflict, ""
	}
	return refusal
}

// ignoreEchoedPower leaves a pool's power state out of its own body if it is the one that
// is shown and the PUT starts the cluster: clients send back what they read, which is
// Stopped then.
func (v *view) ignoreEchoedPower(pool *v1beta1.AgentPool, body *poolProperties, now time.Time) {
	if v.comesBack(now) && pool != nil && body.PowerState != nil && body.PowerState.Code == renderPower(pool.Status.PowerState).Code {
		body.PowerState = nil
	}
}

// ignorePoolPower leaves a pool's power state out of a cluster's body, where clients
// send back what they read, and refuses to change it there.
func ignorePoolPower(sent *poolProfile, pool *v1beta1.AgentPool) error {
	power := sent.PowerState
	sent.PowerState = nil
	if power == nil || power.Code == "" || power.Code == renderPower(pool.Status.PowerState).Code || power.Code == string(pool.Spec.PowerState.Wanted()) {
		return nil
	}
	return arm.InvalidParameter("agentPoolProfile.powerState",
		"The value of parameter agentPoolProfile.powerState is invalid: agent pool '%s' is %s. Use the agent pool itself to stop or start it.", sent.Name, renderPower(pool.Status.PowerState).Code)
}
