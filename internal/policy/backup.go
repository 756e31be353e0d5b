package policy

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// The defaults of ServicePolicy for backups (C3, X2).
const (
	DefaultBackupInterval      = 30 * time.Minute
	DefaultBackupDeltaInterval = 30 * time.Second
	DefaultBackupAll           = 6 * time.Hour
	DefaultBackupDaily         = 7 * 24 * time.Hour
	DefaultBackupWeekly        = 28 * 24 * time.Hour
)

// BackupPlan is what ServicePolicy asks for of backups.
type BackupPlan struct {
	// Full and Delta are the times between backups, All, Daily and Weekly those of keeping.
	Full, Delta, All, Daily, Weekly time.Duration
	Stores                          []string
}

// Backups reads ServicePolicy; its own store is for one that names none.
func Backups(spec v1beta1.ServicePolicySpec, own string) BackupPlan {
	keep := spec.BackupRetention
	if keep == nil {
		keep = &v1beta1.BackupRetention{}
	}
	plan := BackupPlan{
		Full:   durationOr(spec.BackupInterval, DefaultBackupInterval),
		Delta:  durationOr(spec.BackupDeltaInterval, DefaultBackupDeltaInterval),
		All:    durationOr(keep.All, DefaultBackupAll),
		Daily:  durationOr(keep.Daily, DefaultBackupDaily),
		Weekly: durationOr(keep.Weekly, DefaultBackupWeekly),
		Stores: spec.BackupStores,
	}
	if len(plan.Stores) == 0 && own != "" {
		plan.Stores = []string{own}
	}
	return plan
}

// durationOr is a duration that makes sense, or the default.
func durationOr(set *metav1.Duration, fallback time.Duration) time.Duration {
	if set == nil || set.Duration <= 0 {
		return fallback
	}
	return set.Duration
}

// ReasonEtcdRolledBack is that of the condition BackedUp while etcd has lost what was
// recorded of it and has not been recovered.
const ReasonEtcdRolledBack = "EtcdRolledBack"

// RollbackKnown is for how long counts what is known of an etcd that came back with less: what
// is written to it later may be lost with it, which no more than a recovery may lose (X2).
const RollbackKnown = time.Minute

// RollbackLoss says why the backups are put in the place of what a lone etcd holds that runs;
// empty if they are not. It came back with less than was recorded, and has taken nothing
// since that somebody counts on, as of a moment ago (docs/decisions/0025-etcd-that-went-back.md).
// It is tried once: what no recovery helps is the operator's. One of an etcd that did not start,
// and found that it has its data, was none for this.
func RollbackLoss(status v1beta1.ManagedClusterStatus, now time.Time) string {
	backedUp := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionBackedUp)
	if backedUp == nil || backedUp.Status != metav1.ConditionFalse || backedUp.Reason != ReasonEtcdRolledBack {
		return ""
	}
	if status.Backup == nil || !status.Backup.Rollback.Restorable() || now.Sub(status.Backup.Rollback.Time.Time).Abs() > RollbackKnown {
		return ""
	}
	reason := fmt.Sprintf("etcd came back as it was at revision %d, and backups reach %d", status.Backup.Rollback.Shared, status.Backup.Rollback.Recorded)
	// A clock that was set back since takes no loss for another one: what was put back counts on.
	if last := status.Recovery; last != nil && last.Running && (last.Reason == reason || !last.StartTime.Before(&backedUp.LastTransitionTime)) {
		return ""
	}
	return reason
}

// ReasonBackupKeyLost is that of the condition BackedUp while the stores hold backups that
// another key has sealed, which is gone, and none under the one that there is.
const ReasonBackupKeyLost = "BackupKeyLost"

// ReasonBackupKeyUnreadable is that of the condition BackedUp while nothing can be sealed: what
// is to be the key is none, or is gone where Berth cannot draw another.
const ReasonBackupKeyUnreadable = "BackupKeyUnreadable"

// BackupsApart is why what the backups have is not what etcd has, or may not be had from them:
// the reason of the condition BackedUp, empty if there is none.
func BackupsApart(conditions []metav1.Condition) string {
	backedUp := meta.FindStatusCondition(conditions, v1beta1.ConditionBackedUp)
	if backedUp == nil || backedUp.Status == metav1.ConditionTrue {
		return ""
	}
	switch backedUp.Reason {
	case ReasonEtcdRolledBack, ReasonBackupKeyLost, ReasonBackupKeyUnreadable:
		return backedUp.Reason
	}
	return ""
}

// BackupFacts are what is known of a cluster's backups.
type BackupFacts struct {
	// RolledBack: etcd had less than was recorded of it.
	RolledBack bool
	// KeyLost: what the stores hold does not open, and a snapshot that does is not made yet.
	KeyLost bool
	// KeyUnreadable is why nothing can be sealed from the next start on; empty if that is not so.
	KeyUnreadable string
	// Since is when its control plane came up, from which on it is to be backed up.
	Since time.Time
	// RecoveryPoint is the time up to which everything written is stored; zero if nothing is.
	RecoveryPoint time.Time
	// Full is the time of the newest snapshot; zero if there is none. Snapshot is why
	// the last attempt at one failed.
	Full     time.Time
	Snapshot string
	// Etcd is why its data cannot be read, and Stores are why stores failed; empty if nothing did.
	Etcd   string
	Stores []string
}

// grace is how long a cluster may be without any backup before it is one too late: its
// first is made when it has come up.
const grace = 2 * time.Minute

// BackedUp decides the condition BackedUp: whether no more than two deltas' time would
// be lost (X2: 60 s by default), and the newest snapshot is not older than twice its
// time (C3). Due is when the answer may change by itself.
//
// An etcd that had less than was recorded of it is not recorded until it is recovered: that
// is told at once, and for as long.
func BackedUp(facts BackupFacts, plan BackupPlan, now time.Time) (ok bool, reason, message string, due time.Time) {
	if facts.RolledBack {
		return false, ReasonEtcdRolledBack, facts.Etcd, time.Time{}
	}
	if facts.KeyLost {
		return false, ReasonBackupKeyLost, keyLostMessage(facts), time.Time{}
	}
	if facts.KeyUnreadable != "" {
		return false, ReasonBackupKeyUnreadable, facts.KeyUnreadable, time.Time{}
	}
	// A delta is written after its time, and read back.
	limit := 2*plan.Delta + plan.Delta/2
	point, allowed := facts.RecoveryPoint, limit
	// What was stored before it came up is as old as it was down.
	begins := point.Before(facts.Since) && now.After(point.Add(limit))
	if begins {
		point, allowed = facts.Since, max(grace, limit)
	}
	due = point.Add(allowed)
	if !now.After(due) {
		if begins {
			return false, "Pending", "what was written since it came up is being stored", due
		}
		if late := facts.Full.Add(2 * plan.Full); now.After(late) {
			return false, "SnapshotLate", facts.Snapshot, time.Time{}
		} else if late.Before(due) {
			due = late
		}
		return true, "Recorded", "", due
	}
	switch {
	case facts.Etcd != "":
		return false, "EtcdUnavailable", facts.Etcd, time.Time{}
	case len(facts.Stores) > 0:
		return false, "StoreUnavailable", facts.Stores[0], time.Time{}
	default:
		return false, "Late", "backups do not keep up", time.Time{}
	}
}

// keyLostMessage says what is lost, and why nothing takes its place yet if that is known.
func keyLostMessage(facts BackupFacts) string {
	said := "the key that the stored backups are sealed with is gone, and no full backup under the new one is stored yet"
	if facts.Snapshot != "" {
		said += ": " + facts.Snapshot
	}
	return said
}
