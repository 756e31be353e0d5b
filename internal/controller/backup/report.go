package backup

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/policy"
)

// statusOwner is the field manager of status.backup and of the condition BackedUp.
const statusOwner = "berth-backup"

// report writes the status if it is news, and returns after what time it may be so again:
// what is good becomes late by itself, and what is late good with the next delta.
func (r *reconciler) report(ctx context.Context, cluster *v1beta1.ManagedCluster, state backup.State, plan policy.BackupPlan, unreadable string) (time.Duration, error) {
	facts := factsOf(state, recordedFrom(cluster).Time)
	facts.KeyUnreadable = unreadable
	ok, reason, message, due := policy.BackedUp(facts, plan, r.Now())
	wait := plan.Delta
	if ok {
		wait = due.Sub(r.Now())
	}
	last := meta.FindStatusCondition(cluster.Status.Conditions, v1beta1.ConditionBackedUp)
	next := r.backedUp(last, cluster.Generation, ok, reason, message)
	status := statusOf(state)
	recall(status, cluster.Status.Backup, state, rolledBack(cluster))
	status.Final = !cluster.DeletionTimestamp.IsZero() && r.running.final(client.ObjectKeyFromObject(cluster))
	every := pointEvery * plan.Delta
	if slices.Contains(state.Alarms, "NOSPACE") {
		every = plan.Delta // what is backed up may go from etcd
	}
	if last != nil && *last == next && same(cluster.Status.Backup, status) && !finalPoint(cluster, status) && !moved(cluster.Status.Backup, status, every) {
		return wait, nil
	}
	return wait, r.write(ctx, cluster, status, last, next)
}

// unsealed writes that a cluster is not backed up, since the key of its backups cannot be read,
// and nobody records it. What is known of its history and of its earlier key stays.
func (r *reconciler) unsealed(ctx context.Context, cluster *v1beta1.ManagedCluster, why string) error {
	r.running.barred(client.ObjectKeyFromObject(cluster))
	switch policy.BackupsApart(cluster.Status.Conditions) {
	case policy.ReasonEtcdRolledBack, policy.ReasonBackupKeyLost:
		return nil
	}
	last := meta.FindStatusCondition(cluster.Status.Conditions, v1beta1.ConditionBackedUp)
	next := r.backedUp(last, cluster.Generation, false, policy.ReasonBackupKeyUnreadable, why)
	if last != nil && *last == next {
		return nil
	}
	return r.write(ctx, cluster, cluster.Status.Backup, last, next)
}

// backedUp is the condition BackedUp that comes after another one.
func (r *reconciler) backedUp(last *metav1.Condition, generation int64, ok bool, reason, message string) metav1.Condition {
	next := metav1.Condition{
		Type: v1beta1.ConditionBackedUp, Status: metav1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(r.Now().Truncate(time.Second)),
	}
	if ok {
		next.Status = metav1.ConditionTrue
	}
	if last != nil && last.Status == next.Status {
		next.LastTransitionTime = last.LastTransitionTime
	}
	return next
}

// write writes the status of a cluster's backups, and tells what is news.
func (r *reconciler) write(ctx context.Context, cluster *v1beta1.ManagedCluster, status *v1beta1.BackupStatus, last *metav1.Condition, next metav1.Condition) error {
	err := apply.Status(ctx, r.client, cluster, statusOwner, &struct {
		Backup     *v1beta1.BackupStatus `json:"backup,omitempty"`
		Conditions []metav1.Condition    `json:"conditions"`
	}{status, []metav1.Condition{next}}, "")
	if err != nil {
		return err
	}
	r.tell(cluster, last, next)
	return nil
}

// pointEvery is after how many deltas the recovery point is written that has moved: who puts
// data back waits for a store that reaches it.
const pointEvery = 10

// factsOf is what the policy wants to know of a recorder whose etcd is up since a time.
func factsOf(state backup.State, since time.Time) policy.BackupFacts {
	facts := policy.BackupFacts{RolledBack: state.RolledBack, KeyLost: state.KeyLost, Since: since, RecoveryPoint: state.RecoveryPoint, Etcd: state.Etcd, Snapshot: state.Snapshot}
	if state.Full != nil {
		facts.Full = state.Full.Time
	}
	for _, store := range state.Stores {
		if store.Error != "" {
			facts.Stores = append(facts.Stores, store.Error)
		}
	}
	return facts
}

// same leaves out the recovery point, which moves all the time.
func same(last, next *v1beta1.BackupStatus) bool {
	if last == nil {
		return false
	}
	was, is := *last, *next
	was.RecoveryPoint, is.RecoveryPoint = nil, nil
	was.RecoveryRevision, is.RecoveryRevision = 0, 0
	return equality.Semantic.DeepEqual(was, is)
}

// finalPoint says whether a status is the first to have all that an etcd holds which runs
// for its final backup alone: somebody waits for that.
func finalPoint(cluster *v1beta1.ManagedCluster, next *v1beta1.BackupStatus) bool {
	archive, last := cluster.Status.Archive, cluster.Status.Backup
	if !archive.KeepsEtcd() || next.RecoveryPoint == nil || !next.RecoveryPoint.After(archive.StartTime.Time) {
		return false
	}
	return last.RecoveryPoint == nil || !last.RecoveryPoint.After(archive.StartTime.Time)
}

func statusOf(state backup.State) *v1beta1.BackupStatus {
	status := &v1beta1.BackupStatus{RecoveryPoint: timeOf(state.RecoveryPoint), RecoveryRevision: state.Revision, Doubtful: state.Doubtful}
	if back := state.Rollback; back != nil {
		status.Rollback = &v1beta1.EtcdRollback{Time: metav1.NewTime(back.Time), Revision: back.Revision, Recorded: back.Recorded, Shared: back.Shared, Written: back.Written}
	}
	if state.Full != nil {
		status.Time, status.Revision, status.Size = timeOf(state.Full.Time), state.Full.Last, state.Full.Size
	}
	for _, store := range state.Stores {
		status.Stores = append(status.Stores, v1beta1.BackupStoreStatus{URL: store.URL, Time: timeOf(store.Full), Error: store.Error})
	}
	return status
}

// recall adds to a status what was known before, and a recorder that has just begun cannot
// know while a store is away: how far that one's backups reach, and that it has any. Who
// puts data back waits for it by that, and who purges asks for it.
//
// What was sealed with a key that is lost does not count, nor what was recorded of an etcd
// that had lost data once that is recorded anew as it is.
func recall(status, last *v1beta1.BackupStatus, state backup.State, wasRolledBack bool) {
	if last == nil {
		return
	}
	for i := range status.Stores {
		if !state.Stores[i].Emptied && status.Stores[i].Time == nil {
			status.Stores[i].Time = fullIn(last, status.Stores[i].URL)
		}
	}
	if state.KeyLost || wasRolledBack && !state.RolledBack {
		return
	}
	if status.RecoveryPoint == nil {
		status.RecoveryPoint = last.RecoveryPoint // the stores have not been looked at yet
	}
	status.RecoveryRevision = max(status.RecoveryRevision, last.RecoveryRevision)
	if status.Revision < last.Revision {
		status.Time, status.Revision, status.Size = last.Time, last.Revision, last.Size
	}
}

// fullIn is when the newest full backup in a store was begun; nil if none is known.
func fullIn(status *v1beta1.BackupStatus, url string) *metav1.Time {
	for _, store := range status.Stores {
		if store.URL == url {
			return store.Time
		}
	}
	return nil
}

func timeOf(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	at := metav1.NewTime(t.Truncate(time.Second))
	return &at
}
