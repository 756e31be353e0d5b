package policy

import (
	"time"

	"berth.dev/berth/api/v1beta1"
)

// DefaultDeletedClusterRetention is ServicePolicy.spec.deletedClusterRetention when
// nothing is set (X3).
const DefaultDeletedClusterRetention = 14 * 24 * time.Hour

// DeletedClusterRetention reads ServicePolicy. Zero keeps nothing.
func DeletedClusterRetention(spec v1beta1.ServicePolicySpec) time.Duration {
	set := spec.DeletedClusterRetention
	if set == nil || set.Duration < 0 {
		return DefaultDeletedClusterRetention
	}
	return set.Duration
}

// Retainable says whether there is something of a cluster to recover: its control plane
// has come up, and its etcd is backed up (X3).
func Retainable(cluster *v1beta1.ManagedCluster) bool {
	return cluster.Spec.ID != "" && cluster.Status.Initialized && cluster.Status.Backup != nil && cluster.Status.Backup.RecoveryPoint != nil
}

// RecoveredAs is how a deleted cluster is asked for again: as it was, with the version
// that ran and the roots of trust that are kept, so that no rotation is due.
func RecoveredAs(cluster *v1beta1.ManagedCluster) v1beta1.ManagedClusterSpec {
	spec := *cluster.Spec.DeepCopy()
	spec.AgentPoolProfiles, spec.Rotations = nil, nil
	if running := cluster.Status.CurrentKubernetesVersion; running != "" {
		spec.KubernetesVersion = running
	}
	return spec
}

// PurgeDue says whether a deleted cluster is not kept any longer, and else when.
func PurgeDue(deleted *v1beta1.DeletedCluster, now time.Time) (bool, time.Time) {
	at := deleted.Spec.ScheduledPurgeDate.Time
	return !now.Before(at), at
}

// RecoveryGrace is for how long, at least, a cluster is kept from when its recovery was
// asked for: nothing is purged while it comes back.
const RecoveryGrace = time.Hour
