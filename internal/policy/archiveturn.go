package policy

import (
	"time"

	"berth.dev/berth/api/v1beta1"
)

const (
	// DefaultArchivesAtOnce is ServicePolicy.spec.archivesAtOnce when nothing is set.
	DefaultArchivesAtOnce = 4
	// archivePatience is how long a cluster that could be archived, and is not, keeps its
	// place: what is stuck holds nobody else up for longer.
	archivePatience = 24 * time.Hour
)

// ArchivesAtOnce reads ServicePolicy.
func ArchivesAtOnce(spec v1beta1.ServicePolicySpec) int {
	if set := spec.ArchivesAtOnce; set != nil && *set >= 0 {
		return int(*set)
	}
	return DefaultArchivesAtOnce
}

// ArchiveTurn says whether it is a cluster's turn to be archived: fewer than the policy has
// are being archived, and no more wait that were stopped before than there is room for (J5).
// all are the clusters of the service, that one among them or not.
func ArchiveTurn(one *v1beta1.ManagedCluster, all []v1beta1.ManagedCluster, spec v1beta1.ServicePolicySpec, now time.Time) bool {
	room := ArchivesAtOnce(spec)
	since := PowerOf(one, now).StoppedSince
	late := now.Add(-ArchiveAfter(spec) - archivePatience)
	for i := range all {
		other := &all[i]
		if other.UID == one.UID {
			continue
		}
		if archiving(other) {
			room--
			continue
		}
		waits := other.Status.Archive == nil && other.Status.Initialized && other.Status.Backup != nil && other.DeletionTimestamp.IsZero() &&
			other.Spec.PowerState.Wanted() == v1beta1.PowerStopped && other.Status.PowerState.Code == v1beta1.PowerStopped
		if earlier := PowerOf(other, now).StoppedSince; waits && !earlier.IsZero() && earlier.Before(since) && earlier.After(late) {
			room--
		}
	}
	return room > 0
}

// archiving says whether a cluster is on its way into the archive.
func archiving(cluster *v1beta1.ManagedCluster) bool {
	archive := cluster.Status.Archive
	if archive == nil {
		return false
	}
	switch archive.Phase {
	case v1beta1.ArchiveBackup, v1beta1.ArchiveProve, v1beta1.ArchiveRelease:
		return true
	default:
		return false
	}
}
