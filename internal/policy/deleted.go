package policy

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// Retainable says whether there may be something of a cluster to recover: its control
// plane has come up, and its etcd is recorded (X3). Whether a store answers at the moment
// does not matter.
func Retainable(cluster *v1beta1.ManagedCluster) bool {
	return cluster.Spec.ID != "" && cluster.Status.Initialized && cluster.Status.Backup != nil
}

// FinalBackupLimit is how long the deletion of a cluster waits for its final backup.
const FinalBackupLimit = 2 * time.Minute

// FinalBackupPending says whether the control plane of a cluster that is deleted goes on
// running, since not all that was written before is stored yet (X3). It does not wait for
// ever: a store may be away. The wait is the time that was seen to pass with it: neither a
// clock that leaps nor a Berth that was away ends it.
func FinalBackupPending(cluster *v1beta1.ManagedCluster, waited time.Duration) bool {
	switch {
	case cluster.DeletionTimestamp == nil, !Retainable(cluster), cluster.Status.Backup.Final:
		return false
	case cluster.Status.APIServerReady == nil && !FinalBackupAlone(cluster):
		return false
	}
	return waited < FinalBackupLimit
}

// FinalBackupAlone says whether etcd is started alone for the final backup of a cluster that
// is deleted, as its control plane does not run: nobody knows whether a store took all of it
// when it ended. Nothing is started where backups have all there is, as of an archived one (J5),
// or are being put back.
func FinalBackupAlone(cluster *v1beta1.ManagedCluster) bool {
	status := &cluster.Status
	return cluster.DeletionTimestamp != nil && Retainable(cluster) && status.APIServerReady == nil && !status.Backup.Final &&
		!status.Archive.HasAll() && !status.Recovery.UnderWay() && !status.Upgrade.Restores()
}

// FinalBackupMissing says whether what is kept of a deleted cluster may lack what was
// written last: its final backup was not made, and it ran, or was stopped while backups were
// late. One that was recovered and is deleted before it was up has written nothing since.
func FinalBackupMissing(cluster *v1beta1.ManagedCluster) bool {
	status := &cluster.Status
	switch {
	case !Retainable(cluster), status.Backup.Final:
		return false
	case status.APIServerReady == nil:
		return !status.Archive.HasAll() && !meta.IsStatusConditionTrue(status.Conditions, v1beta1.ConditionBackedUp)
	}
	return true
}

// RecoveredAs is how a deleted cluster is asked for again: as it was, with the version
// that ran and the roots of trust that are kept, so that no rotation is due. It runs, also
// if it was stopped: nothing is made of one that is not to run.
func RecoveredAs(cluster *v1beta1.ManagedCluster) v1beta1.ManagedClusterSpec {
	spec := *cluster.Spec.DeepCopy()
	spec.AgentPoolProfiles, spec.Rotations, spec.PowerState = nil, nil, nil
	if running := cluster.Status.CurrentKubernetesVersion; running != "" {
		spec.KubernetesVersion = running
	}
	return spec
}

// RetentionLook is how often a deleted cluster is looked at, at least, and its time counted.
const RetentionLook = 10 * time.Minute

// CountRetention is the status of a deleted cluster with the time that was seen to pass
// since the last look: a clock that leaps purges nothing.
func CountRetention(status v1beta1.DeletedClusterStatus, now time.Time) v1beta1.DeletedClusterStatus {
	// Times are stored in seconds: what is cut off here would be counted twice.
	at := metav1.NewTime(now.Truncate(time.Second))
	if status.Observed != nil {
		status.Elapsed.Duration += Passed(status.Observed.Time, RetentionLook, at.Time)
	}
	status.Observed = &at
	return status
}

// PurgeDue says whether a deleted cluster is not kept any longer, and else after what
// time to look again: its date has come, and as much time was seen to pass.
func PurgeDue(deleted *v1beta1.DeletedCluster, now time.Time) (bool, time.Duration) {
	until, since := deleted.Spec.ScheduledPurgeDate.Time, deleted.Spec.DeletionDate.Time
	left := max(until.Sub(now), until.Sub(since)-deleted.Status.Elapsed.Duration)
	return left <= 0, min(max(left, time.Second), RetentionLook)
}

// RecoveryGrace is for how long, at least, a cluster is kept from when its recovery was
// asked for: nothing is purged while it comes back.
const RecoveryGrace = time.Hour
