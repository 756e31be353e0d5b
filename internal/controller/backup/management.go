package backup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/policy"
)

// managementKey is the management cluster's place in the fleet. No managed cluster is
// without a namespace.
var managementKey = types.NamespacedName{Name: v1beta1.ManagementClusterName}

// management has Berth's own state recorded: the etcd of the management cluster, as any
// cluster's, and a bundle of the files that its machine has beside it (C3, X3). Berth
// seals both for the operator's recovery key and cannot open them.
type management struct {
	*reconciler
	// began is when this process looked for the first time.
	began time.Time
}

// Reconcile implements reconcile.Reconciler.
func (m *management) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if request.Name != v1beta1.ManagementClusterName {
		return ctrl.Result{}, nil
	}
	var own v1beta1.ManagementCluster
	err := m.client.Get(ctx, request.NamespacedName, &own)
	if apierrors.IsNotFound(err) || err == nil && !own.DeletionTimestamp.IsZero() {
		m.running.stop(managementKey)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("read the management cluster: %w", err)
	}
	result, err := m.record(ctx, &own)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("backups of the management cluster: %w", err)
	}
	return result, nil
}

func (m *management) record(ctx context.Context, own *v1beta1.ManagementCluster) (ctrl.Result, error) {
	if m.began.IsZero() {
		m.began = m.Now()
	}
	plan, err := m.plan(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	if len(plan.Stores) == 0 {
		m.running.stop(managementKey)
		return ctrl.Result{RequeueAfter: time.Minute}, nil
	}
	access, err := m.access(ctx)
	if apierrors.IsNotFound(err) {
		return ctrl.Result{RequeueAfter: time.Minute}, m.barred(ctx, own)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	bundle := backup.Bundle{Digest: string(access.Data[v1beta1.ManagementDigestKey]), Sealed: access.Data[v1beta1.ManagementBundleKey]}
	publicKey := string(access.Data[v1beta1.ManagementPublicKeyKey])
	m.running.keep(managementKey, publicKey+" "+bundle.Digest, plan, func() *backup.Recorder { return m.recorder(own.DeepCopy(), publicKey, bundle, plan) })
	state := m.running.state(managementKey)
	wait, err := m.report(ctx, own, state, plan)
	return ctrl.Result{RequeueAfter: max(wait, soonest)}, err
}

// access is how etcd is reached, and for whom backups are sealed.
func (m *management) access(ctx context.Context) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := m.reader.Get(ctx, client.ObjectKey{Namespace: v1beta1.SystemNamespace, Name: v1beta1.ManagementBackupSecret}, &secret)
	return &secret, err
}

// recorder has turns of its own: Berth's own backup waits for no customer's cluster, and for
// no store that hangs with those.
func (m *management) recorder(about *v1beta1.ManagementCluster, publicKey string, bundle backup.Bundle, plan policy.BackupPlan) *backup.Recorder {
	return backup.NewRecorder(backup.Config{
		ClusterID: backup.ManagementID(publicKey), Stores: plan.Stores, Key: publicKey, Bundle: &bundle, Scratch: m.Scratch, Log: m.Log, Now: m.Now,
		Schedule: schedule(plan), Connect: m.etcd, Reads: m.Reads,
		OnChange:  func() { m.running.changed(managementKey) },
		OnEmptied: func(store string) { m.tellEmptied(about, store) },
	})
}

func (m *management) etcd(ctx context.Context) (clientv3.Config, error) {
	access, err := m.access(ctx)
	if err != nil {
		return clientv3.Config{}, fmt.Errorf("certificates for etcd: %w", err)
	}
	pair, err := tls.X509KeyPair(access.Data[corev1.TLSCertKey], access.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return clientv3.Config{}, errors.New("the certificate for etcd cannot be read") // its words might repeat the key
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(access.Data[corev1.ServiceAccountRootCAKey]) {
		return clientv3.Config{}, errors.New("the authority of etcd cannot be read")
	}
	return clientv3.Config{
		Endpoints:   []string{string(access.Data[v1beta1.ManagementEndpointKey])},
		TLS:         &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}},
		DialTimeout: dialTimeout, DialKeepAliveTime: dialTimeout, DialKeepAliveTimeout: dialTimeout, Logger: zap.NewNop(),
	}, nil
}

// report writes the status if it is news: the recovery point is, once in a delta's time.
func (m *management) report(ctx context.Context, own *v1beta1.ManagementCluster, state backup.State, plan policy.BackupPlan) (time.Duration, error) {
	ok, reason, message, _ := policy.BackedUp(factsOf(state, m.began), plan, m.Now())
	last := meta.FindStatusCondition(own.Status.Conditions, v1beta1.ConditionBackedUp)
	next := m.backedUp(last, own.Generation, ok, reason, message)
	status := statusOf(state)
	if last != nil && *last == next && same(own.Status.Backup, status) && !moved(own.Status.Backup, status, plan.Delta) {
		return plan.Delta, nil
	}
	return plan.Delta, m.writeOwn(ctx, own, status, last, next)
}

// barred writes that Berth's own state is not backed up, since it is not known how etcd is
// reached and for whom backups are sealed: only `berth up` knows.
func (m *management) barred(ctx context.Context, own *v1beta1.ManagementCluster) error {
	m.running.stop(managementKey)
	m.running.barred(managementKey)
	last := meta.FindStatusCondition(own.Status.Conditions, v1beta1.ConditionBackedUp)
	next := m.backedUp(last, own.Generation, false, policy.ReasonBackupKeyUnreadable, fmt.Sprintf(
		"the secret %s/%s with the public key of Berth's own backups is gone: `berth up` writes it again", v1beta1.SystemNamespace, v1beta1.ManagementBackupSecret))
	if last != nil && *last == next {
		return nil
	}
	return m.writeOwn(ctx, own, own.Status.Backup, last, next)
}

func (m *management) writeOwn(ctx context.Context, own *v1beta1.ManagementCluster, status *v1beta1.BackupStatus, last *metav1.Condition, next metav1.Condition) error {
	before := own.DeepCopy()
	own.Status = v1beta1.ManagementClusterStatus{Backup: status, Conditions: []metav1.Condition{next}}
	if err := m.client.Status().Patch(ctx, own, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write status: %w", err)
	}
	m.tell(own, last, next)
	return nil
}

// moved says whether the recovery point is later by so much.
func moved(last, next *v1beta1.BackupStatus, by time.Duration) bool {
	if next.RecoveryPoint == nil || last.RecoveryPoint == nil {
		return next.RecoveryPoint != last.RecoveryPoint
	}
	return next.RecoveryPoint.Sub(last.RecoveryPoint.Time) >= by
}
