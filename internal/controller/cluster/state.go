package cluster

import "berth.dev/berth/api/v1beta1"

// observation sums up what a pass saw, for the table of states.
type observation string

const (
	// sawDeletion: the cluster is being deleted.
	sawDeletion observation = "Deletion"
	// sawBreakage: it cannot be made true, or a create took too long.
	sawBreakage observation = "Breakage"
	// sawSettled: everything asked for is true.
	sawSettled observation = "Settled"
	// sawPools: everything but the pools.
	sawPools observation = "PoolsPending"
	// sawChange: something else is asked for than the last time, or the same once
	// more, and it is not true yet.
	sawChange observation = "Change"
	// sawUpgrade: the control plane is changing its version.
	sawUpgrade observation = "Upgrade"
	// sawProgress: the same is asked for as the last time, and not true (any more).
	sawProgress observation = "Progress"
	// sawStopping: it is asked to stop, and something of it still runs.
	sawStopping observation = "Stopping"
	// sawStarting: it is asked to run, and has not since it was stopped.
	sawStarting observation = "Starting"
	// sawRotation: roots of trust are asked for that are not in force yet.
	sawRotation observation = "Rotation"
)

const none v1beta1.ProvisioningState = ""

// states is the life of a cluster: what was reported, what is seen, what to
// report. A control plane that is away for a moment does not change the state of a
// cluster that had succeeded: provisioning is done, health is a condition. A stop
// that is turned round before its end becomes a start: its nodes have gone. A
// rotation takes the nodes away too, and ends with them.
var states = map[v1beta1.ProvisioningState]map[observation]v1beta1.ProvisioningState{
	none: {
		sawDeletion: v1beta1.StateDeleting, sawBreakage: v1beta1.StateFailed, sawSettled: v1beta1.StateSucceeded,
		sawPools: v1beta1.StateCreating, sawChange: v1beta1.StateCreating, sawProgress: v1beta1.StateCreating,
		sawStopping: v1beta1.StateStopping, sawStarting: v1beta1.StateStarting, sawRotation: v1beta1.StateRotatingCertificates,
		sawUpgrade: v1beta1.StateUpgrading,
	},
	v1beta1.StateCreating: {
		sawDeletion: v1beta1.StateDeleting, sawBreakage: v1beta1.StateFailed, sawSettled: v1beta1.StateSucceeded,
		sawPools: v1beta1.StateCreating, sawChange: v1beta1.StateCreating, sawProgress: v1beta1.StateCreating,
		sawStopping: v1beta1.StateStopping, sawStarting: v1beta1.StateStarting, sawRotation: v1beta1.StateRotatingCertificates,
		sawUpgrade: v1beta1.StateUpgrading,
	},
	v1beta1.StateUpdating: {
		sawDeletion: v1beta1.StateDeleting, sawBreakage: v1beta1.StateFailed, sawSettled: v1beta1.StateSucceeded,
		sawPools: v1beta1.StateSucceeded, sawChange: v1beta1.StateUpdating, sawProgress: v1beta1.StateUpdating,
		sawStopping: v1beta1.StateStopping, sawStarting: v1beta1.StateStarting, sawRotation: v1beta1.StateRotatingCertificates,
		sawUpgrade: v1beta1.StateUpgrading,
	},
	v1beta1.StateUpgrading: {
		sawDeletion: v1beta1.StateDeleting, sawBreakage: v1beta1.StateFailed, sawSettled: v1beta1.StateSucceeded,
		sawPools: v1beta1.StateSucceeded, sawChange: v1beta1.StateUpdating, sawProgress: v1beta1.StateUpgrading,
		sawStopping: v1beta1.StateStopping, sawStarting: v1beta1.StateStarting, sawRotation: v1beta1.StateRotatingCertificates,
		sawUpgrade: v1beta1.StateUpgrading,
	},
	v1beta1.StateSucceeded: {
		sawDeletion: v1beta1.StateDeleting, sawBreakage: v1beta1.StateFailed, sawSettled: v1beta1.StateSucceeded,
		sawPools: v1beta1.StateSucceeded, sawChange: v1beta1.StateUpdating, sawProgress: v1beta1.StateSucceeded,
		sawStopping: v1beta1.StateStopping, sawStarting: v1beta1.StateStarting, sawRotation: v1beta1.StateRotatingCertificates,
		sawUpgrade: v1beta1.StateUpgrading,
	},
	v1beta1.StateFailed: {
		sawDeletion: v1beta1.StateDeleting, sawBreakage: v1beta1.StateFailed, sawSettled: v1beta1.StateSucceeded,
		sawPools: v1beta1.StateSucceeded, sawChange: v1beta1.StateUpdating, sawProgress: v1beta1.StateFailed,
		sawStopping: v1beta1.StateStopping, sawStarting: v1beta1.StateStarting, sawRotation: v1beta1.StateRotatingCertificates,
		sawUpgrade: v1beta1.StateUpgrading,
	},
	v1beta1.StateStopping: {
		sawDeletion: v1beta1.StateDeleting, sawBreakage: v1beta1.StateFailed, sawSettled: v1beta1.StateSucceeded,
		sawPools: v1beta1.StateStarting, sawChange: v1beta1.StateStarting, sawProgress: v1beta1.StateStarting,
		sawStopping: v1beta1.StateStopping, sawStarting: v1beta1.StateStarting, sawRotation: v1beta1.StateRotatingCertificates,
		sawUpgrade: v1beta1.StateUpgrading,
	},
	v1beta1.StateStarting: {
		sawDeletion: v1beta1.StateDeleting, sawBreakage: v1beta1.StateFailed, sawSettled: v1beta1.StateSucceeded,
		sawPools: v1beta1.StateStarting, sawChange: v1beta1.StateStarting, sawProgress: v1beta1.StateStarting,
		sawStopping: v1beta1.StateStopping, sawStarting: v1beta1.StateStarting, sawRotation: v1beta1.StateRotatingCertificates,
		sawUpgrade: v1beta1.StateUpgrading,
	},
	v1beta1.StateRotatingCertificates: {
		sawDeletion: v1beta1.StateDeleting, sawBreakage: v1beta1.StateFailed, sawSettled: v1beta1.StateSucceeded,
		sawPools: v1beta1.StateRotatingCertificates, sawChange: v1beta1.StateRotatingCertificates, sawProgress: v1beta1.StateRotatingCertificates,
		sawStopping: v1beta1.StateStopping, sawStarting: v1beta1.StateStarting, sawRotation: v1beta1.StateRotatingCertificates,
		sawUpgrade: v1beta1.StateUpgrading,
	},
	v1beta1.StateDeleting: {
		sawDeletion: v1beta1.StateDeleting, sawBreakage: v1beta1.StateDeleting, sawSettled: v1beta1.StateDeleting,
		sawPools: v1beta1.StateDeleting, sawChange: v1beta1.StateDeleting, sawProgress: v1beta1.StateDeleting,
		sawStopping: v1beta1.StateDeleting, sawStarting: v1beta1.StateDeleting, sawRotation: v1beta1.StateDeleting,
		sawUpgrade: v1beta1.StateDeleting,
	},
}

// observe reads the findings of a pass.
func observe(cluster *v1beta1.ManagedCluster, f *findings) observation {
	starting := isStarting(cluster, f)
	switch {
	case !cluster.DeletionTimestamp.IsZero():
		return sawDeletion
	case f.broken != nil:
		return sawBreakage
	case rotationDue(cluster, f):
		return sawRotation
	case f.poolFailure != nil && (starting || !f.stop && makingNodes(cluster.Status.ProvisioningState)):
		return sawBreakage
	case f.upgrading:
		return sawUpgrade
	case f.settled() && (f.poolsReady || f.stop):
		return sawSettled
	case f.stop:
		return sawStopping
	case starting:
		return sawStarting
	case f.settled():
		return sawPools
	case newAttempt(cluster):
		return sawChange
	default:
		return sawProgress
	}
}

// isStarting: the cluster is asked to run, and has not since it was stopped.
func isStarting(cluster *v1beta1.ManagedCluster, f *findings) bool {
	return !f.stop && cluster.Status.PowerState.Code == v1beta1.PowerStopped
}

// makingNodes: the states of which the nodes are a part, so that a pool's failure is
// the cluster's.
func makingNodes(state v1beta1.ProvisioningState) bool {
	return creating(state) || state == v1beta1.StateStarting || state == v1beta1.StateRotatingCertificates
}

// newAttempt says whether something else is asked for than the status describes, or
// the same once more.
func newAttempt(cluster *v1beta1.ManagedCluster) bool {
	return cluster.Status.ObservedGeneration != cluster.Generation ||
		cluster.Status.ObservedOperation != cluster.Annotations[v1beta1.AnnotationOperation]
}

// rotationDue says whether new roots are asked for that are not in force: authorities
// until they are replaced, signing keys until the API server has them.
func rotationDue(cluster *v1beta1.ManagedCluster, f *findings) bool {
	asked, done := cluster.Spec.Rotations.Asked(), cluster.Status.Rotations
	return asked.Certificates > done.Certificates && !f.renewed || asked.ServiceAccountKeys > done.ServiceAccountKeys && !f.stop && !f.controlPlaneReady()
}
