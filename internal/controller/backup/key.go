package backup

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/policy"
)

// keyName is the entry of a Secret that holds the key of a cluster's backups. The Secret
// is in Berth's own namespace: who gets into a control plane's does not get its past.
const keyName = "key"

// sealing is what a cluster's backups are sealed with.
type sealing struct {
	// key is the secret one, and of names the cluster and its public half.
	key, of string
	// replaced is when it took the place of a key that was lost; zero if it did not.
	replaced time.Time
}

// errUnreadable says that a Secret holds no key of backups.
type errUnreadable struct {
	secret string
	reason error
}

// Error implements error.
func (e errUnreadable) Error() string {
	return fmt.Sprintf("the secret %s/%s holds no key of backups: %v; nothing is backed up from the next start of Berth on until the right one is put back, or it is deleted and another one is drawn",
		v1beta1.SystemNamespace, e.secret, e.reason)
}

// news is what is to be told of a key: the reason of an event, and its words.
type news struct{ reason, message string }

// sealing reads the key of a cluster's backups. One that is gone is put back while a
// recorder has it. Otherwise one is drawn, and says so if it takes the place of another:
// what that has sealed stays in the stores, and opens again if it is put back.
func (r *reconciler) sealing(ctx context.Context, cluster *v1beta1.ManagedCluster, plan policy.BackupPlan) (sealing, *news, error) {
	id := cluster.Spec.ID
	var told *news
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: v1beta1.SystemNamespace, Name: v1beta1.BackupKeySecret(id), Labels: map[string]string{v1beta1.LabelClusterID: id},
	}}
	err := r.reader.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if apierrors.IsNotFound(err) {
		told, err = r.replaceKey(ctx, cluster, plan, secret)
	}
	if err != nil {
		return sealing{}, nil, fmt.Errorf("key of backups: %w", err)
	}
	found := sealing{key: string(secret.Data[keyName])}
	public, err := backup.PublicKey(found.key)
	if err != nil {
		return sealing{}, nil, errUnreadable{secret.Name, err}
	}
	found.of = id + " " + public
	if at, err := time.Parse(time.RFC3339, secret.Annotations[v1beta1.AnnotationKeyReplaced]); err == nil {
		found.replaced = at
	}
	return found, told, nil
}

// replaceKey makes the Secret of a key that is not there. Create never overwrites.
func (r *reconciler) replaceKey(ctx context.Context, cluster *v1beta1.ManagedCluster, plan policy.BackupPlan, secret *corev1.Secret) (*news, error) {
	name := client.ObjectKeyFromObject(cluster)
	if key := r.running.key(name, cluster.Spec.ID); key != "" {
		secret.Data = map[string][]byte{keyName: []byte(key)}
		return &news{reasonKeyPutBack, fmt.Sprintf("the secret %s with the key of backups was gone and has been made again", secret.Name)}, r.client.Create(ctx, secret)
	}
	drawn, err := backup.NewKey()
	if err != nil {
		return nil, err
	}
	secret.Data = map[string][]byte{keyName: []byte(drawn)}
	if !backedUpBefore(cluster) && !backup.Held(ctx, plan.Stores, cluster.Spec.ID) {
		return nil, r.client.Create(ctx, secret)
	}
	secret.Annotations = map[string]string{v1beta1.AnnotationKeyReplaced: r.Now().UTC().Format(time.RFC3339)}
	return &news{policy.ReasonBackupKeyLost, fmt.Sprintf(
		"the secret %s with the key of backups is gone: what the stores hold cannot be opened without it; a new full backup under a new key is being made", secret.Name,
	)}, r.client.Create(ctx, secret)
}

// backedUpBefore says whether a cluster is known to have had a snapshot.
func backedUpBefore(cluster *v1beta1.ManagedCluster) bool {
	last := cluster.Status.Backup
	return last != nil && (last.Time != nil || last.RecoveryPoint != nil)
}

// key is the one that a cluster's recorder has; empty if none runs.
func (f *fleet) key(key types.NamespacedName, id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.known[key]
	if v == nil || v.recorder.ClusterID != id {
		return ""
	}
	return v.recorder.Key
}
