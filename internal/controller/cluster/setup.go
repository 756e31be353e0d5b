package cluster

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/release"
)

// fieldOwner is the field manager of what this controller applies.
const fieldOwner = "berth"

// Tenants knows whether a cluster's API server answers.
type Tenants interface {
	// Ready asks the API server for /readyz. Nil means that it answered.
	Ready(ctx context.Context, clusterID string) error
	// Version is the version that the API server says it has, such as 1.36.3.
	Version(ctx context.Context, clusterID string) (string, error)
	// Drop forgets a cluster that is gone.
	Drop(clusterID string)
}

// Config is what the controller needs besides the manager.
type Config struct {
	Catalogue *release.Catalogue
	// GatewayURL is what customers' kubeconfigs dial.
	GatewayURL string
	// PrivateRanges are the CIDRs of the management side that machines may not
	// reach; nil means controlplane.DefaultPrivateRanges.
	PrivateRanges []string
	Tenants       Tenants
	// BackupCA is the authority of the certificate with which Berth gives backups back,
	// PEM; without it etcd's data are not recovered.
	BackupCA []byte
	// Members changes the membership of highly available etcds; nil means etcd.Client.
	Members Members
	// LooksApart is how long after a first look what the members of an etcd hold is looked at
	// again before anything is done about it; zero means 10 s.
	LooksApart time.Duration
	Now        func() time.Time
}

// CacheOptions narrows the manager's cache to what belongs to clusters; on a
// management cluster that others use too, it would hold all of their objects.
func CacheOptions() map[client.Object]cache.ByObject {
	requirement, err := labels.NewRequirement(v1beta1.LabelClusterID, selection.Exists, nil)
	if err != nil {
		panic(err) // the label is a constant
	}
	mine := cache.ByObject{Label: labels.NewSelector().Add(*requirement)}
	return map[client.Object]cache.ByObject{
		&corev1.Namespace{}: mine, &corev1.Service{}: mine, &appsv1.Deployment{}: mine, &appsv1.StatefulSet{}: mine,
	}
}

// Setup registers the controller with the manager.
func Setup(mgr ctrl.Manager, cfg Config) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Members == nil {
		cfg.Members = etcd.Client{}
	}
	if cfg.LooksApart == 0 {
		cfg.LooksApart = looksApart
	}
	if cfg.PrivateRanges == nil {
		cfg.PrivateRanges = controlplane.DefaultPrivateRanges()
	}
	r := &reconciler{
		Config:  cfg,
		client:  mgr.GetClient(),
		reader:  mgr.GetAPIReader(),
		applier: apply.New(fieldOwner, resync, cfg.Now),
		events:  activity.NewRecorder(mgr, "berth/cluster", cfg.Now),
	}
	owned := handler.EnqueueRequestsFromMapFunc(ownerRequest)
	err := ctrl.NewControllerManagedBy(mgr).
		Named("cluster").
		For(&v1beta1.ManagedCluster{}).
		Watches(&v1beta1.AgentPool{}, handler.EnqueueRequestsFromMapFunc(apply.ClusterOfPool)).
		Watches(&v1beta1.ServicePolicy{}, handler.EnqueueRequestsFromMapFunc(apply.AllClusters(mgr.GetClient()))).
		Watches(&corev1.Namespace{}, owned).
		Watches(&corev1.Service{}, owned).
		Watches(&appsv1.Deployment{}, owned).
		Watches(&appsv1.StatefulSet{}, owned).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up cluster controller: %w", err)
	}
	return nil
}

func ownerRequest(_ context.Context, object client.Object) []ctrl.Request {
	owner, ok := controlplane.OwnerOf(object)
	if !ok {
		return nil
	}
	return []ctrl.Request{{NamespacedName: owner}}
}
