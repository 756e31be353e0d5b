package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
)

// lookAtFinal is how soon to look again whether a final backup is stored.
const lookAtFinal = 500 * time.Millisecond

// retain keeps what a deleted cluster can be recovered from, before anything of it goes
// (X3). The roots come first: whoever finds the DeletedCluster finds them.
func (r *reconciler) retain(ctx context.Context, p *pass) (bool, error) {
	kept, err := findDeleted(ctx, r.reader, p.cluster)
	if err != nil {
		return false, err
	}
	at := p.cluster.DeletionTimestamp
	switch {
	case kept == nil && !policy.Retainable(p.cluster):
		return true, nil
	case kept != nil && kept.Spec.DeletionDate.Equal(at):
		return true, nil // also if somebody purges it already; pools may be gone by now
	case kept != nil && !kept.DeletionTimestamp.IsZero():
		p.lookIn(lookAgain) // that of an earlier life is on its way
		return false, nil
	}
	if pending, err := r.awaitFinal(ctx, p); pending || err != nil {
		return false, err
	}
	wanted, err := r.deletedCluster(ctx, p)
	if err != nil {
		return false, err
	}
	keepBackups(&wanted.Spec, p.cluster.Status.Backup, kept)
	found, err := r.retainRoots(ctx, p.cluster)
	if err != nil || !found {
		return err == nil, err
	}
	if err := r.keepDeleted(ctx, kept, wanted); err != nil {
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return true, nil // the subscription goes, with all that it kept
		}
		return false, fmt.Errorf("keep the deleted cluster: %w", err)
	}
	if policy.FinalBackupMissing(p.cluster) {
		r.events.Event(p.cluster, corev1.EventTypeWarning, "FinalBackupMissing", "Delete",
			fmt.Sprintf("no store took a final backup: a recovery brings back what was stored until %s", storedUntil(p.cluster)))
	}
	return true, nil
}

// keepDeleted writes what is kept; kept is what there is of an earlier deletion of a
// cluster that was recovered since, whose time is over.
func (r *reconciler) keepDeleted(ctx context.Context, kept, wanted *v1beta1.DeletedCluster) error {
	if kept == nil {
		err := r.client.Create(ctx, wanted)
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}
	kept.Status = v1beta1.DeletedClusterStatus{}
	if err := r.client.Status().Update(ctx, kept); err != nil {
		return err
	}
	kept.Spec = wanted.Spec
	return r.client.Update(ctx, kept)
}

func storedUntil(cluster *v1beta1.ManagedCluster) string {
	if point := cluster.Status.Backup.RecoveryPoint; point != nil {
		return point.UTC().Format(time.RFC3339)
	}
	return "a time that is not known"
}

// deletedCluster is what is kept of how a cluster was asked for.
func (r *reconciler) deletedCluster(ctx context.Context, p *pass) (*v1beta1.DeletedCluster, error) {
	cluster := p.cluster
	service, err := r.servicePolicy(ctx)
	if err != nil {
		return nil, err
	}
	pools, err := r.poolsOf(ctx, r.reader, cluster)
	if err != nil {
		return nil, err
	}
	windows, err := r.maintenanceOf(ctx, cluster)
	if err != nil {
		return nil, err
	}
	kept := &v1beta1.DeletedCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: cluster.Spec.ID, Finalizers: []string{v1beta1.Finalizer}, Labels: map[string]string{
			v1beta1.LabelResourceGroup: operation.LabelValue(v1beta1.ObjectName(cluster.Spec.ResourceGroup)),
			v1beta1.LabelCluster:       operation.LabelValue(cluster.Name),
		}},
		Spec: v1beta1.DeletedClusterSpec{
			Cluster: policy.RecoveredAs(cluster), DeletionDate: *cluster.DeletionTimestamp,
			ScheduledPurgeDate: metav1.NewTime(cluster.DeletionTimestamp.Add(policy.DeletedClusterRetention(service))),
		},
	}
	for i := range pools {
		kept.Spec.AgentPools = append(kept.Spec.AgentPools, pools[i].Spec)
	}
	for i := range windows {
		kept.Spec.Maintenance = append(kept.Spec.Maintenance, windows[i].Spec)
	}
	return kept, nil
}

// keepBackups notes what is known of a cluster's backups. One that was recovered and is
// deleted before it is backed up again has those of its earlier life, of which earlier is
// what is kept.
func keepBackups(spec *v1beta1.DeletedClusterSpec, last *v1beta1.BackupStatus, earlier *v1beta1.DeletedCluster) {
	if earlier != nil {
		spec.BackupStores, spec.RecoveryRevision = slices.Clone(earlier.Spec.BackupStores), earlier.Spec.RecoveryRevision
	}
	if last == nil {
		return
	}
	spec.RecoveryRevision = max(spec.RecoveryRevision, last.Revision, last.RecoveryRevision)
	for _, store := range last.Stores {
		if store.Time != nil && !slices.Contains(spec.BackupStores, store.URL) {
			spec.BackupStores = append(spec.BackupStores, store.URL)
		}
	}
}

// retainRoots copies the roots of trust to where they outlive the cluster's namespace;
// false if that has none any more.
func (r *reconciler) retainRoots(ctx context.Context, cluster *v1beta1.ManagedCluster) (bool, error) {
	var roots corev1.Secret
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespaceOf(cluster), Name: controlplane.RootsSecret}, &roots)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read roots of trust: %w", err)
	}
	wanted := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: v1beta1.SystemNamespace, Name: v1beta1.RetainedSecret(cluster.Spec.ID), Labels: map[string]string{v1beta1.LabelClusterID: cluster.Spec.ID},
		},
		Type: roots.Type, Data: roots.Data,
	}
	err = r.client.Create(ctx, wanted)
	if err == nil {
		return true, nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return false, fmt.Errorf("keep roots of trust: %w", err)
	}
	var stored corev1.Secret
	if err := r.reader.Get(ctx, client.ObjectKeyFromObject(wanted), &stored); err != nil {
		return false, fmt.Errorf("read kept roots of trust: %w", err)
	}
	if equality.Semantic.DeepEqual(stored.Data, wanted.Data) {
		return true, nil
	}
	stored.Data = wanted.Data
	if err := r.client.Update(ctx, &stored); err != nil {
		return false, fmt.Errorf("keep roots of trust: %w", err)
	}
	return true, nil
}

// findDeleted reads what is kept of a cluster under its id; nil if nothing is, or if it
// is another's.
func findDeleted(ctx context.Context, reader client.Reader, cluster *v1beta1.ManagedCluster) (*v1beta1.DeletedCluster, error) {
	var kept v1beta1.DeletedCluster
	err := reader.Get(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: cluster.Spec.ID}, &kept)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read deleted cluster %s: %w", cluster.Spec.ID, err)
	}
	if v1beta1.ObjectName(kept.Spec.Cluster.ResourceGroup, kept.Spec.Cluster.Name) != cluster.Name {
		return nil, nil
	}
	return &kept, nil
}

// adopt gives a cluster that comes back its roots of trust and its windows again, and
// has its etcd begin with what the backups hold: one that was Initialized does not
// start without.
func (r *reconciler) adopt(ctx context.Context, p *pass) (bool, error) {
	if p.cluster.Status.Initialized {
		return true, nil
	}
	kept, err := findDeleted(ctx, r.reader, p.cluster)
	if err != nil || kept == nil {
		return err == nil, err
	}
	if !kept.DeletionTimestamp.IsZero() {
		p.found.broken = &v1beta1.OperationError{
			Code: "OperationNotAllowed", Message: "what was kept of the deleted cluster was purged while it was to be recovered; delete this one, and create a new one",
		}
		return false, nil
	}
	if err := r.restoreRoots(ctx, p); err != nil {
		return false, err
	}
	if err := r.restoreMaintenance(ctx, p.cluster, kept); err != nil {
		return false, err
	}
	next := ownPart(p.cluster.Status)
	next.Initialized = true
	if err := r.applyStatus(ctx, p.cluster, next); err != nil {
		return false, err
	}
	p.cluster.Status.Initialized = true
	r.events.Event(p.cluster, corev1.EventTypeNormal, "Recovering", "Recover",
		fmt.Sprintf("the cluster that was deleted at %s comes back, with what its backups hold", kept.Spec.DeletionDate.UTC().Format(time.RFC3339)))
	return true, nil
}

func (r *reconciler) restoreRoots(ctx context.Context, p *pass) error {
	var kept corev1.Secret
	if err := r.reader.Get(ctx, client.ObjectKey{Namespace: v1beta1.SystemNamespace, Name: v1beta1.RetainedSecret(p.cluster.Spec.ID)}, &kept); err != nil {
		return fmt.Errorf("read kept roots of trust: %w", err)
	}
	roots, err := controlplane.LoadRoots(&kept)
	if err != nil {
		return err
	}
	if err := r.client.Create(ctx, roots.Secret(p.input)); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("store roots of trust: %w", err)
	}
	return nil
}

func (r *reconciler) restoreMaintenance(ctx context.Context, cluster *v1beta1.ManagedCluster, kept *v1beta1.DeletedCluster) error {
	for _, spec := range kept.Spec.Maintenance {
		window := &v1beta1.MaintenanceConfiguration{
			ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: v1beta1.ObjectName(spec.ResourceGroup, spec.ClusterName, spec.Name)}, Spec: spec,
		}
		operation.Attach(window, cluster)
		if err := r.client.Create(ctx, window); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make maintenance configuration %s again: %w", spec.Name, err)
		}
	}
	return nil
}

// release lets go what was kept of a cluster that has come back, when it could be kept
// anew: one that is deleted before is recovered from the same once more.
func (r *reconciler) release(ctx context.Context, p *pass) (bool, error) {
	if !p.found.controlPlaneReady() || !meta.IsStatusConditionTrue(p.cluster.Status.Conditions, v1beta1.ConditionBackedUp) {
		return true, nil
	}
	// Nearly every cluster has none, which the cache knows.
	kept, err := findDeleted(ctx, r.client, p.cluster)
	if err != nil || kept == nil || !kept.DeletionTimestamp.IsZero() {
		return err == nil, err
	}
	if err := r.client.Delete(ctx, kept, client.Preconditions{UID: &kept.UID}); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("let the deleted cluster go: %w", err)
	}
	return true, nil
}
