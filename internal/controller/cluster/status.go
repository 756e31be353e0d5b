package cluster

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/controlplane"
)

// ownConditions are the conditions that this controller writes; AddonsApplied is
// the add-on controller's.
var ownConditions = []string{
	v1beta1.ConditionControlPlaneReady, v1beta1.ConditionAgentPoolsReady, v1beta1.ConditionStopped, v1beta1.ConditionBackupsProven, v1beta1.ConditionHighlyAvailable, conditionPoolsCreated,
}

// writeStatus says what the pass saw, in one write, and only if it is news.
func (r *reconciler) writeStatus(ctx context.Context, p *pass) error {
	if p.found.gone {
		return nil
	}
	now := ownPart(p.cluster.Status)
	next := nextStatus(p, now)
	if equality.Semantic.DeepEqual(now, next) {
		return nil
	}
	return r.applyStatus(ctx, p.cluster, next)
}

// applyStatus writes all of this controller's part of the status.
func (r *reconciler) applyStatus(ctx context.Context, cluster *v1beta1.ManagedCluster, next v1beta1.ManagedClusterStatus) error {
	return apply.Status(ctx, r.client, cluster, fieldOwner, &next, "")
}

// ownPart is the status without what others write.
func ownPart(status v1beta1.ManagedClusterStatus) v1beta1.ManagedClusterStatus {
	own := *status.DeepCopy()
	own.AddonsVersion, own.AddonsImages, own.AutoUpgrades, own.Backup, own.Support, own.Advisories, own.ComponentRollout = "", nil, nil, nil, nil, nil, nil
	own.Conditions = slices.DeleteFunc(own.Conditions, func(c metav1.Condition) bool { return !slices.Contains(ownConditions, c.Type) })
	return own
}

func nextStatus(p *pass, now v1beta1.ManagedClusterStatus) v1beta1.ManagedClusterStatus {
	cluster, f := p.cluster, &p.found
	next := *now.DeepCopy()
	next.ObservedGeneration = cluster.Generation
	next.ObservedOperation = cluster.Annotations[v1beta1.AnnotationOperation]
	next.ProvisioningState = states[now.ProvisioningState][observe(cluster, f)]
	next.Error = nil
	if next.ProvisioningState == v1beta1.StateFailed {
		next.Error = failure(f, now.Error)
	}
	if !cluster.DeletionTimestamp.IsZero() {
		return next
	}
	// The code changes when a stop or start has ended (azure-wire, section 3).
	if next.ProvisioningState == v1beta1.StateSucceeded || next.PowerState.Code == "" {
		next.PowerState.Code = cluster.Spec.PowerState.Wanted()
	}
	if cluster.Spec.ID != "" {
		next.FQDN = controlplane.FQDN(&cluster.Spec)
	}
	if f.address != "" {
		next.ControlPlaneAddress = f.address
	}
	// A new cluster's nodes need the version before its control plane answers; the
	// upgrade step reports another one when it runs.
	if next.CurrentKubernetesVersion == "" {
		next.CurrentKubernetesVersion = p.release.Version
	}
	if p.input.Stopped || f.recovering {
		next.APIServerReady = nil
	}
	if f.renewed {
		next.Rotations.Certificates = cluster.Spec.Rotations.Asked().Certificates
	}
	if f.controlPlaneReady() {
		next.Rotations.ServiceAccountKeys = cluster.Spec.Rotations.Asked().ServiceAccountKeys
	}
	if next.APIServerReady == nil && f.controlPlaneReady() {
		ready := metav1.NewTime(p.now)
		next.APIServerReady = &ready
	}
	next.Initialized = next.Initialized || next.APIServerReady != nil
	setConditions(&next, p)
	return next
}

func failure(f *findings, last *v1beta1.OperationError) *v1beta1.OperationError {
	switch {
	case f.broken != nil:
		return f.broken
	case f.poolFailure != nil:
		return f.poolFailure
	default:
		return last
	}
}

// stoppedNow says whether a cluster is stopped. What is asked to run and has answered is not
// any more, whatever its nodes do.
func stoppedNow(status *v1beta1.ManagedClusterStatus, f *findings) bool {
	return status.PowerState.Code == v1beta1.PowerStopped && (f.stop || status.APIServerReady == nil)
}

func setConditions(status *v1beta1.ManagedClusterStatus, p *pass) {
	f := &p.found
	set := func(kind string, ok bool, reason, message string) {
		condition := metav1.Condition{
			Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message,
			ObservedGeneration: p.cluster.Generation, LastTransitionTime: metav1.NewTime(p.now),
		}
		if ok {
			condition.Status, condition.Message = metav1.ConditionTrue, ""
		}
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	if stopped := stoppedNow(status, f); stopped {
		set(v1beta1.ConditionStopped, true, string(v1beta1.PowerStopped), "")
	} else if meta.FindStatusCondition(status.Conditions, v1beta1.ConditionStopped) != nil {
		set(v1beta1.ConditionStopped, false, string(v1beta1.PowerRunning), "")
	}
	switch {
	case p.input.Stopped && f.stop:
		set(v1beta1.ConditionControlPlaneReady, false, "Stopped", "the cluster is stopped")
	case f.controlPlaneReady():
		set(v1beta1.ConditionControlPlaneReady, true, "Ready", "")
	case f.recovering:
		set(v1beta1.ConditionControlPlaneReady, false, "Recovering", "etcd has lost its data, and they are put back")
	case f.notReady != nil:
		set(v1beta1.ConditionControlPlaneReady, false, "NotAnswering", "the API server does not answer /readyz")
	default:
		set(v1beta1.ConditionControlPlaneReady, false, "RollingOut", "the control plane is being replaced")
	}
	switch {
	case p.input.Stopped && f.stop:
		set(v1beta1.ConditionAgentPoolsReady, false, "Stopped", "the cluster is stopped")
	case f.poolFailure != nil:
		set(v1beta1.ConditionAgentPoolsReady, false, "Failed", f.poolFailure.Message)
	case f.poolsReady:
		set(v1beta1.ConditionAgentPoolsReady, true, "Ready", "")
	default:
		set(v1beta1.ConditionAgentPoolsReady, false, "InProgress", f.missing())
	}
	f.replicas.tell(status, p, set)
	if f.proven != nil {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: v1beta1.ConditionBackupsProven, Status: f.proven.Status, Reason: f.proven.Reason, Message: f.proven.Message,
			ObservedGeneration: p.cluster.Generation, LastTransitionTime: metav1.NewTime(p.now),
		})
	}
	if f.poolsCreated {
		set(conditionPoolsCreated, true, "Created", "")
	}
}
