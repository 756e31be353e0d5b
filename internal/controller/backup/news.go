package backup

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/policy"
)

// tell records an event when backups cease to be good, or are so again.
func (r *reconciler) tell(cluster client.Object, last *metav1.Condition, next metav1.Condition) {
	switch {
	case next.Status == metav1.ConditionTrue && last != nil && last.Status == metav1.ConditionFalse && last.Reason != "Pending":
		r.events.Event(cluster, corev1.EventTypeNormal, "BackedUp", "Backup", "backups are up to date again")
	case next.Status == metav1.ConditionFalse && next.Reason != "Pending" && (last == nil || last.Reason != next.Reason):
		r.warn(cluster, next.Reason, fmt.Sprintf("backups are late: %s", next.Message))
	}
}

// tellEmptied records an event when a store has lost what it held of a cluster.
func (r *reconciler) tellEmptied(of client.Object, store string) {
	r.warn(of, reasonStoreEmptied,
		fmt.Sprintf("the newest full backup has gone from %s: the store was emptied, or is not mounted; another one is being made there", store))
}

// tellDisputed records an event when what was recorded last may be lost, and nobody can say.
func (r *reconciler) tellDisputed(of client.Object, revision int64) {
	r.warn(of, reasonHistoryDisputed, fmt.Sprintf(
		"a majority of etcd's members held something else at revision %d than was recorded, and all have compacted that before each had said what it has: "+
			"it is recorded anew as it is, and what was recorded last may be in the earlier backups alone", revision))
}

// The reasons of events that are none of the condition BackedUp.
const (
	reasonStoreEmptied    = "BackupStoreEmptied"
	reasonKeyPutBack      = "BackupKeyPutBack"
	reasonHistoryDisputed = "EtcdHistoryDisputed"
)

// warn tells the operator all of it, and a customer, who reads the activity log, what is the
// customer's: stores and the Secrets of Berth's own namespace are the operator's.
func (r *reconciler) warn(of client.Object, reason, said string) {
	r.events.Show(of, corev1.EventTypeWarning, reason, "Backup", said)
	public, known := toCustomers[reason]
	if !known {
		public = "backups are late"
	}
	r.events.Record(context.Background(), activity.Notice{Object: of, ActivityNotice: v1beta1.ActivityNotice{Reason: reason, Message: public, Warning: true}})
}

// toCustomers are the words of the activity log for each reason.
var toCustomers = map[string]string{
	policy.ReasonEtcdRolledBack:      "backups are late: etcd came back with less than was recorded of it",
	policy.ReasonBackupKeyLost:       "the key of the earlier backups is gone; a new full backup is being made",
	policy.ReasonBackupKeyUnreadable: "backups are late: they cannot be sealed",
	reasonKeyPutBack:                 "the key of backups was gone, and has been made again",
	reasonStoreEmptied:               "a store has lost the newest full backup; another one is being made",
	reasonHistoryDisputed:            "a majority of etcd's members held something else than was recorded last, and it is recorded anew",
	"StoreUnavailable":               "backups are late: a store does not take them",
	"SnapshotLate":                   "backups are late: the newest full one is older than it should be",
	"EtcdUnavailable":                "backups are late: etcd cannot be read",
}
