package backup

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

func (r *reconciler) recorder(cluster *v1beta1.ManagedCluster, key string, plan policy.BackupPlan) *backup.Recorder {
	id, name := cluster.Spec.ID, client.ObjectKeyFromObject(cluster)
	about := cluster.DeepCopy()
	last := cluster.Status.Backup
	if last == nil {
		last = &v1beta1.BackupStatus{}
	}
	return backup.NewRecorder(backup.Config{
		ClusterID: id, Stores: plan.Stores, Key: key, Scratch: r.Scratch, Log: r.Log, Now: r.Now,
		Schedule: schedule(plan), RolledBack: rolledBack(cluster), Doubtful: last.Doubtful, Recorded: last.RecoveryRevision,
		Connect:  func(ctx context.Context) (clientv3.Config, error) { return r.etcd(ctx, id) },
		Members:  func(ctx context.Context) ([]string, error) { return r.members(ctx, name) },
		OnChange: func() { r.running.changed(name) }, Turns: r.running.turns, Reads: r.Reads,
		OnEmptied:  func(store string) { r.tellEmptied(about, store) },
		OnDisputed: func(revision int64) { r.tellDisputed(about, revision) },
	})
}

// rolledBack says whether an earlier recorder found that etcd had lost data, and none since
// that it was recovered.
func rolledBack(cluster *v1beta1.ManagedCluster) bool {
	last := meta.FindStatusCondition(cluster.Status.Conditions, v1beta1.ConditionBackedUp)
	return last != nil && last.Status == metav1.ConditionFalse && last.Reason == policy.ReasonEtcdRolledBack
}

func schedule(plan policy.BackupPlan) backup.Schedule {
	return backup.Schedule{Full: plan.Full, Delta: plan.Delta, Keep: backup.Retention{All: plan.All, Daily: plan.Daily, Weekly: plan.Weekly}}
}

// members are how each member of a cluster's etcd is reached now.
func (r *reconciler) members(ctx context.Context, name client.ObjectKey) ([]string, error) {
	var cluster v1beta1.ManagedCluster
	if err := r.client.Get(ctx, name, &cluster); err != nil {
		return nil, fmt.Errorf("members of etcd: %w", err)
	}
	services := []string{controlplane.EtcdService}
	if replicas := cluster.Status.Replicas; policy.ReplicasShapeOf(replicas.At()).Addressed {
		services = nil
		for ordinal := range max(replicas.Members, 1) {
			services = append(services, controlplane.MemberName(ordinal))
		}
	}
	var urls []string
	for _, service := range services {
		url, err := r.urlOf(ctx, v1beta1.ControlPlaneNamespace(cluster.Spec.ID), service)
		if err != nil {
			return nil, err
		}
		urls = append(urls, url)
	}
	return urls, nil
}

// urlOf is how the etcd behind a Service is reached.
func (r *reconciler) urlOf(ctx context.Context, namespace, name string) (string, error) {
	var service corev1.Service
	if err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &service); err != nil {
		return "", fmt.Errorf("address of etcd: %w", err)
	}
	return fmt.Sprintf("https://%s:%d", service.Spec.ClusterIP, controlplane.EtcdPort), nil
}

// dialTimeout bounds a connection to etcd.
const dialTimeout = 10 * time.Second

// etcd is how a cluster's etcd is reached now.
func (r *reconciler) etcd(ctx context.Context, id string) (clientv3.Config, error) {
	namespace := v1beta1.ControlPlaneNamespace(id)
	var roots, own corev1.Secret
	for name, secret := range map[string]*corev1.Secret{controlplane.RootsSecret: &roots, controlplane.BackupSecret: &own} {
		if err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret); err != nil {
			return clientv3.Config{}, fmt.Errorf("certificates for etcd: %w", err)
		}
	}
	url, err := r.urlOf(ctx, namespace, controlplane.EtcdService)
	if err != nil {
		return clientv3.Config{}, err
	}
	config, err := controlplane.BackupTLS(&roots, &own)
	if err != nil {
		return clientv3.Config{}, err
	}
	return clientv3.Config{
		Endpoints: []string{url}, TLS: config,
		DialTimeout: dialTimeout, DialKeepAliveTime: dialTimeout, DialKeepAliveTimeout: dialTimeout, Logger: zap.NewNop(),
	}, nil
}
