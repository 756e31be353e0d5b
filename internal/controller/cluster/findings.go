package cluster

import (
	"fmt"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// findings is what a pass saw of the world.
type findings struct {
	// gone: the cluster has no finalizer any more; there is nothing to write to.
	gone bool
	// broken is why the cluster cannot be made true as it is asked for.
	broken  *v1beta1.OperationError
	address string
	// stop: the cluster is asked to stop, and off: nothing of it runs any more.
	stop, off bool
	// recovering: what etcd has lost is put back beside its pod.
	recovering bool
	// upgrading: the control plane is changing its version.
	upgrading bool
	// moving: the control plane is on its way to three replicas, or back to one.
	moving bool
	// replicas is what is known of the replicas of a control plane; nil if it has one.
	replicas *redundancy
	// renewed: the authorities were replaced in this pass, or in one that died.
	renewed bool
	// rolledOut: the pods of the control plane are the ones asked for.
	rolledOut bool
	// notReady is why the API server does not answer; nil when it does.
	notReady      error
	addonsApplied bool
	poolsCreated  bool
	poolsReady    bool
	// poolFailure is the error of a failed pool.
	poolFailure *v1beta1.OperationError
	waitingFor  []string
	// proven is what is known of the backups; nil if nothing was to be found out.
	proven *policy.ProvenVerdict
}

// addPool adds how a pool stands. What it says of an earlier attempt is not said of this
// one: it is named in an operation that has not asked it yet, or has not looked at what it
// is asked for.
func (f *findings) addPool(pool *v1beta1.AgentPool, asked bool) {
	current := asked && pool.Status.ObservedGeneration == pool.Generation &&
		pool.Status.ObservedOperation == pool.Annotations[v1beta1.AnnotationOperation]
	switch {
	case current && pool.Status.ProvisioningState == v1beta1.StateSucceeded &&
		pool.Status.PowerState.Code == pool.Spec.PowerState.Wanted():
	case current && pool.Status.ProvisioningState == v1beta1.StateFailed:
		f.poolsReady = false
		f.poolFailure = pool.Status.Error
		if f.poolFailure == nil {
			f.poolFailure = &v1beta1.OperationError{Code: "AgentPoolFailed", Message: fmt.Sprintf("agent pool %s failed", pool.Spec.Name)}
		}
	default:
		f.poolsReady = false
		f.waitingFor = append(f.waitingFor, "agent pool "+pool.Spec.Name)
	}
}

// controlPlaneReady: what runs is what was asked for, and it answers, not only from memory.
func (f *findings) controlPlaneReady() bool { return f.rolledOut && f.notReady == nil && !f.recovering }

// settled: all that the cluster itself asks for is true. Its pools have a state
// of their own and count only while the cluster is being created or started.
func (f *findings) settled() bool {
	if f.stop {
		return f.broken == nil && f.off
	}
	return f.broken == nil && f.controlPlaneReady() && f.addonsApplied && !f.moving
}

// missing says what a cluster waits for, for people.
func (f *findings) missing() string {
	var parts []string
	if !f.controlPlaneReady() {
		parts = append(parts, "the API server")
	}
	if f.moving {
		parts = append(parts, "the replicas of the control plane")
	}
	if !f.addonsApplied {
		parts = append(parts, "the managed components")
	}
	return "waiting for " + strings.Join(append(parts, f.waitingFor...), ", ")
}
