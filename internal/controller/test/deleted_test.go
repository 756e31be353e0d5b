package test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// A deleted cluster comes back under its id with its roots of trust, and with an etcd
// that does not begin empty; what is not recovered in time is purged (X3).
func TestDeletedClusterComesBack(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	comesBack(w)
}

// So it does if the controllers die after every few side effects.
func TestCrashWhileADeletedClusterComesBack(t *testing.T) {
	w := newWorld(t)
	w.nextGuard = func() *guard { return newGuard(3, w.client) }
	w.start(w.nextGuard())
	comesBack(w)
	t.Logf("died %d times", len(w.deaths))
}

func comesBack(w *world) {
	w.t.Helper()
	store := w.backupStore()
	w.createOld()
	w.backedUp()
	roots := w.secrets()[controlplane.RootsSecret]
	w.delete()
	w.checkGone()
	kept := w.kept()
	if kept.Spec.Cluster.KubernetesVersion != oldVersion || len(kept.Spec.AgentPools) != 1 || kept.Spec.RecoveryRevision != 1 {
		w.t.Errorf("kept: %+v", kept.Spec)
	}
	w.request(w.recoverOperation("op-recover", kept))
	w.succeed("op-recover")
	if c := w.cluster(); !c.Status.Initialized || c.Status.CurrentKubernetesVersion != oldVersion {
		w.t.Errorf("the recovered cluster: %+v", c.Status)
	}
	if again := w.secrets()[controlplane.RootsSecret]; !equality.Semantic.DeepEqual(roots.Data, again.Data) {
		w.t.Error("the roots of trust are others")
	}
	w.checkEtcdExists()
	if w.kept().DeletionTimestamp != nil {
		w.t.Error("what was kept is let go before the cluster is backed up again")
	}
	w.backedUp()
	w.eventuallyGone(&v1beta1.DeletedCluster{}, client.ObjectKeyFromObject(kept))
	w.eventuallyGone(&corev1.Secret{}, client.ObjectKey{Namespace: v1beta1.SystemNamespace, Name: v1beta1.RetainedSecret(clusterID)})
	if _, err := os.Stat(store); err != nil {
		w.t.Errorf("the backups of a cluster that runs: %v", err)
	}
	w.deleteAs("op-delete-again")
	w.checkGone()
	w.purges(store)
}

// backupStore is a store with backups of the cluster, and keeps what is deleted for an hour.
func (w *world) backupStore() string {
	w.t.Helper()
	root := w.t.TempDir()
	dir := filepath.Join(root, clusterID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "full-20261126T120000Z-7.zst.age"), []byte("sealed"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.servicePolicy(v1beta1.ServicePolicySpec{BackupStores: []string{"file://" + root}, DeletedClusterRetention: &metav1.Duration{Duration: time.Hour}})
	w.ensure(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.SystemNamespace}})
	w.ensure(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SystemNamespace, Name: v1beta1.BackupKeySecret(clusterID)}})
	return dir
}

func (w *world) kept() *v1beta1.DeletedCluster {
	w.t.Helper()
	var kept v1beta1.DeletedCluster
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: clusterID}, &kept); err != nil {
		w.t.Fatal(err)
	}
	return &kept
}

// recoverOperation is what an ARM handler makes of a POST to recover.
func (w *world) recoverOperation(name string, kept *v1beta1.DeletedCluster) *v1beta1.Operation {
	op := w.createOperation(name)
	op.Spec.Desired = &v1beta1.DesiredState{Cluster: &kept.Spec.Cluster, AgentPools: kept.Spec.AgentPools}
	return op
}

// checkEtcdExists looks at whether etcd may begin an empty cluster.
func (w *world) checkEtcdExists() {
	w.t.Helper()
	var config corev1.ConfigMap
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.EtcdConfigMap}
	if err := w.client.Get(w.t.Context(), key, &config); err != nil {
		w.t.Fatal(err)
	}
	if config.Data["initial-cluster-state"] != "existing" {
		w.t.Errorf("etcd may begin empty: %v", maps.Clone(config.Data))
	}
}

// purges lets the time of retention pass: a clock that leaps over it removes nothing.
func (w *world) purges(store string) {
	w.t.Helper()
	w.stop()
	w.ahead.Store(int64(2 * time.Hour))
	w.start(w.nextGuard())
	w.eventually("the time after the leap is counted", func() bool {
		seen := w.kept().Status.Observed
		return seen != nil && time.Until(seen.Time) > time.Hour
	})
	kept := w.kept()
	if kept.DeletionTimestamp != nil {
		w.t.Error("it is purged before its time")
	}
	w.change(kept, func() { kept.Spec.ScheduledPurgeDate = metav1.NewTime(kept.Spec.DeletionDate.Add(time.Second)) })
	w.eventuallyGone(&v1beta1.DeletedCluster{}, client.ObjectKey{Namespace: w.namespace, Name: clusterID})
	for _, name := range []string{v1beta1.RetainedSecret(clusterID), v1beta1.BackupKeySecret(clusterID)} {
		w.eventuallyGone(&corev1.Secret{}, client.ObjectKey{Namespace: v1beta1.SystemNamespace, Name: name})
	}
	if _, err := os.Stat(store); !os.IsNotExist(err) {
		w.t.Errorf("backups are left: %v", err)
	}
}
