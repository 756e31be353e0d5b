// Package deletedcluster purges deleted clusters when they are not kept any longer (X3):
// their backups, the key of these, and their roots of trust.
//
// Backups go here alone, and only those of a DeletedCluster: Berth never removes what it
// does not know, such as clusters younger than a management cluster that was restored.
package deletedcluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/policy"
)

const (
	// lookAgain is how soon a deletion is looked at again that has not ended.
	lookAgain = 2 * time.Second
	// tryAgain is how soon a store is tried again that failed.
	tryAgain = time.Minute
	// workers is how many are looked at at the same time. None of them waits for a store.
	workers = 4
)

// Config is what the controller needs besides the manager.
type Config struct {
	// Store is where backups are if ServicePolicy names no store (a URL).
	Store string
	Log   *slog.Logger
	Now   func() time.Time
}

type reconciler struct {
	Config
	client client.Client
	reader client.Reader // not a cache: what it does not see yet would be purged
	jobs   *jobs
}

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &reconciler{Config: cfg, client: mgr.GetClient(), reader: mgr.GetAPIReader(), jobs: newJobs()}
	err := ctrl.NewControllerManagedBy(mgr).Named("deletedcluster").For(&v1beta1.DeletedCluster{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller of deleted clusters: %w", err)
	}
	return nil
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var deleted v1beta1.DeletedCluster
	if err := r.reader.Get(ctx, request.NamespacedName, &deleted); err != nil {
		if apierrors.IsNotFound(err) {
			r.drop(request.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	life, err := r.lifeOf(ctx, &deleted)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("deleted cluster %s: %w", request, err)
	}
	if life != gone {
		r.drop(deleted.Name)
	}
	wait, err := r.act(ctx, &deleted, life)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("deleted cluster %s: %w", request, err)
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// life is what has become of a deleted cluster.
type life int

const (
	// ending: its deletion has not come to its end.
	ending life = iota
	// gone: nothing of it runs.
	gone
	// back: it was recovered; it may have been deleted once more since.
	back
)

func (r *reconciler) lifeOf(ctx context.Context, deleted *v1beta1.DeletedCluster) (life, error) {
	var cluster v1beta1.ManagedCluster
	spec := &deleted.Spec.Cluster
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: deleted.Namespace, Name: v1beta1.ObjectName(spec.ResourceGroup, spec.Name)}, &cluster)
	switch {
	case apierrors.IsNotFound(err), err == nil && cluster.Spec.ID != spec.ID:
		return gone, nil
	case err != nil:
		return ending, fmt.Errorf("read cluster: %w", err)
	case cluster.DeletionTimestamp.Equal(&deleted.Spec.DeletionDate):
		return ending, nil
	default:
		return back, nil
	}
}

// act deletes what is due, and ends what is deleted. A recovery that is asked for at this
// moment changes the object, so that the deletion is refused.
func (r *reconciler) act(ctx context.Context, deleted *v1beta1.DeletedCluster, life life) (time.Duration, error) {
	if deleted.DeletionTimestamp.IsZero() {
		switch life {
		case back:
			return policy.RetentionLook, nil // whoever brought it back lets this go
		case ending:
			return lookAgain, nil
		}
		if err := r.count(ctx, deleted); err != nil {
			return 0, err
		}
		if due, wait := policy.PurgeDue(deleted, r.Now()); !due {
			return wait, nil
		}
		version := deleted.ResourceVersion
		err := r.client.Delete(ctx, deleted, client.Preconditions{ResourceVersion: &version})
		return 0, client.IgnoreNotFound(err)
	}
	switch life {
	case ending:
		return lookAgain, nil
	case back:
		return 0, r.letGo(ctx, deleted, v1beta1.RetainedSecret(deleted.Name))
	}
	if ended, err := r.purge(ctx, deleted); err != nil {
		return tryAgain, r.report(ctx, deleted, err)
	} else if !ended {
		return lookAgain, nil
	}
	r.Log.Info("deleted cluster purged", "cluster", deleted.Name, "deleted", deleted.Spec.DeletionDate.UTC().Format(time.RFC3339))
	return 0, r.letGo(ctx, deleted, v1beta1.RetainedSecret(deleted.Name), v1beta1.BackupKeySecret(deleted.Name))
}

// count writes down the time that was seen to pass.
func (r *reconciler) count(ctx context.Context, deleted *v1beta1.DeletedCluster) error {
	next := policy.CountRetention(deleted.Status, r.Now())
	if equality.Semantic.DeepEqual(next, deleted.Status) {
		return nil
	}
	deleted.Status = next
	if err := r.client.Status().Update(ctx, deleted); err != nil {
		return fmt.Errorf("count the time that it is kept: %w", err)
	}
	return nil
}

// purge removes the backups from every store, and says whether that has come to its end.
// The directories that they were in go when it is written down that nothing is in them: one
// that is missing before that is not the one that was used.
func (r *reconciler) purge(ctx context.Context, deleted *v1beta1.DeletedCluster) (bool, error) {
	var service v1beta1.ServicePolicy
	err := r.reader.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read service policy: %w", err)
	}
	stores, id := policy.Backups(service.Spec, r.Store).Stores, deleted.Name
	newest, had := deleted.Spec.DeletionDate.Add(policy.RecoveryGrace), deleted.Spec.BackupStores
	if !deleted.Status.BackupsRemoved {
		ended, err := r.jobs.do(purging(id), stores, func(ctx context.Context, store string) error {
			return backup.Purge(ctx, store, id, newest, slices.Contains(had, backup.Redact(store)))
		})
		if err != nil || !ended {
			return false, err
		}
		deleted.Status.BackupsRemoved = true
		if err := r.client.Status().Update(ctx, deleted); err != nil {
			return false, fmt.Errorf("note that the backups are removed: %w", err)
		}
	}
	// A write that hung when the cluster was deleted may have landed since.
	return r.jobs.do(forgetting(id), stores, func(ctx context.Context, store string) error {
		if err := backup.Purge(ctx, store, id, newest, false); err != nil {
			return err
		}
		return backup.Forget(store, id)
	})
}

// purging and forgetting name the jobs of a cluster.
func purging(id string) string    { return "purge " + id }
func forgetting(id string) string { return "forget " + id }

// drop ends the jobs of a cluster that is back, or that nothing is kept of: what they go on
// removing would be the backups that it makes now.
func (r *reconciler) drop(id string) {
	r.jobs.drop(purging(id))
	r.jobs.drop(forgetting(id))
}

// report says why nothing was purged.
func (r *reconciler) report(ctx context.Context, deleted *v1beta1.DeletedCluster, cause error) error {
	r.Log.Warn("deleted cluster not purged", "cluster", deleted.Name, "error", cause)
	if deleted.Status.Message == cause.Error() {
		return nil
	}
	deleted.Status.Message = cause.Error()
	if err := r.client.Status().Update(ctx, deleted); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("say why it is not purged: %w", err)
	}
	return nil
}

// letGo removes Secrets, and then the object that stands for them.
func (r *reconciler) letGo(ctx context.Context, deleted *v1beta1.DeletedCluster, secrets ...string) error {
	for _, name := range secrets {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SystemNamespace, Name: name}}
		if err := r.client.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("remove secret %s: %w", name, err)
		}
	}
	before := deleted.DeepCopy()
	if !controllerutil.RemoveFinalizer(deleted, v1beta1.Finalizer) {
		return nil
	}
	if err := r.client.Patch(ctx, deleted, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove finalizer: %w", err)
	}
	return nil
}
