package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BackupStatus is of the newest full backup, and of what failed. Customers do not see
// it: AKS's backups are transparent to them (C3).
type BackupStatus struct {
	// Time is when the newest full backup was begun, Revision what etcd had reached
	// then at least, and Size how much it takes in a store, in bytes.
	Time     *metav1.Time `json:"time,omitempty"`
	Revision int64        `json:"revision,omitempty"`
	Size     int64        `json:"size,omitempty"`
	// RecoveryPoint is the time up to which everything written is stored, as of some
	// minutes ago. The metric berth_backup_recovery_point_seconds is exact.
	RecoveryPoint *metav1.Time `json:"recoveryPoint,omitempty"`
	// RecoveryRevision is what etcd had reached at the recovery point, or further where a
	// store is known to reach that is away now.
	RecoveryRevision int64 `json:"recoveryRevision,omitempty"`
	// Final says that all that was written before the cluster's deletion is stored.
	Final bool `json:"final,omitempty"`
	// Rollback is what is known of an etcd that came back with less than was recorded, until
	// its data have been recovered.
	Rollback *EtcdRollback `json:"rollback,omitempty"`
	// Doubtful says that members of etcd held different data, and that no full backup of what
	// they hold since is stored: what was recorded may be of the one that was taken out.
	Doubtful bool `json:"doubtful,omitempty"`
	// Stores are the ones that backups go to.
	// +listType=map
	// +listMapKey=url
	Stores []BackupStoreStatus `json:"stores,omitempty"`
}

// EtcdRollback is what is known of an etcd that came back with less than was recorded of it.
type EtcdRollback struct {
	// Time is when this was found out.
	Time metav1.Time `json:"time"`
	// Revision is what it has reached by now, and Recorded the last that was recorded before.
	Revision int64 `json:"revision"`
	Recorded int64 `json:"recorded"`
	// Shared is the last revision that it has as it was recorded; none if that cannot be told.
	Shared int64 `json:"shared,omitempty"`
	// Written is how many revisions it has taken since that somebody may count on: those that
	// hold more than what is written again by itself.
	Written int64 `json:"written,omitempty"`
}

// Restorable says whether nothing that somebody counts on is lost when the backups take the
// place of what etcd holds.
func (b *EtcdRollback) Restorable() bool {
	return b != nil && b.Shared > 0 && b.Written == 0 && b.Revision < b.Recorded
}

// BackupStoreStatus is that of one store.
type BackupStoreStatus struct {
	URL string `json:"url"`
	// Time is that of its newest full backup.
	Time *metav1.Time `json:"time,omitempty"`
	// Error is why the last write failed; empty if it did not.
	Error string `json:"error,omitempty"`
}

// ControlPlaneRecovery is one recovery of what etcd held (C3).
type ControlPlaneRecovery struct {
	// ID tells recoveries of a cluster apart.
	ID string `json:"id"`
	// Reason is what was seen of the loss.
	Reason    string       `json:"reason,omitempty"`
	StartTime metav1.Time  `json:"startTime"`
	EndTime   *metav1.Time `json:"endTime,omitempty"`
	// Member is the ordinal of the member of etcd whose data are looked at.
	Member int32 `json:"member,omitempty"`
	// Examine is of how many members the data are compared before one is chosen, which
	// becomes the only one; none if zero.
	Examine int32 `json:"examine,omitempty"`
	// Examined is what was found of them so far, in the order of ordinals.
	Examined []MemberData `json:"examined,omitempty"`
	// Running says that etcd ran when it began, on data that had gone back: where nothing can
	// be put back, it goes on with them.
	Running bool `json:"running,omitempty"`
	// Restored says that data were lost and came from backups.
	Restored bool `json:"restored,omitempty"`
	// Message says what is back and what is lost, for people.
	Message string `json:"message,omitempty"`
}

// UnderWay says whether the recovery has begun and not ended. A nil one has not.
func (r *ControlPlaneRecovery) UnderWay() bool { return r != nil && r.EndTime == nil }

// ProofResult is what a proof of backups found.
type ProofResult string

const (
	// ProofEqual: a scratch etcd made from the backups holds what etcd held then.
	ProofEqual ProofResult = "Equal"
	// ProofUnequal: it does not.
	ProofUnequal ProofResult = "Unequal"
	// ProofFailed: the two could not be compared.
	ProofFailed ProofResult = "Failed"
)

// BackupProof is one comparison of what a cluster's newest backups give with what its
// etcd holds (X2).
type BackupProof struct {
	// ID tells proofs of a cluster apart.
	ID        string       `json:"id"`
	StartTime metav1.Time  `json:"startTime"`
	EndTime   *metav1.Time `json:"endTime,omitempty"`
	Result    ProofResult  `json:"result,omitempty"`
	// Revision is the one at which both were compared, and Keys how many etcd held.
	Revision int64 `json:"revision,omitempty"`
	Keys     int64 `json:"keys,omitempty"`
	// Message says what differs, or why nothing was compared, for people.
	Message string `json:"message,omitempty"`
	// LastEqual is when the backups were last proven, by this proof or one before.
	LastEqual *metav1.Time `json:"lastEqual,omitempty"`
}

// UnderWay says whether the proof has begun and not ended. A nil one has not.
func (p *BackupProof) UnderWay() bool { return p != nil && p.EndTime == nil }
