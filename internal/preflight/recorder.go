package preflight

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

const (
	// RecordName is the ConfigMap in a control plane's namespace that keeps when
	// deprecated APIs were last written to.
	RecordName = "deprecated-api-use"
	recordKey  = "uses.json"
	// recordEvery is AKS's pace (stop-cluster-upgrade-api-breaking-changes).
	recordEvery = time.Hour
)

// Recorder notes every hour which deprecated APIs were written to in each cluster.
// It is a runnable of a manager and works on the leader alone.
type Recorder struct {
	Reader
	Client client.Client
	Log    *slog.Logger
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*Recorder) NeedLeaderElection() bool { return true }

// Start records until ctx is done.
func (r *Recorder) Start(ctx context.Context) error {
	ticker := time.NewTicker(recordEvery)
	defer ticker.Stop()
	for {
		if err := r.RecordAll(ctx); err != nil {
			r.Log.Error("record the use of deprecated APIs", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// RecordAll records every cluster whose API server answers.
func (r *Recorder) RecordAll(ctx context.Context) error {
	var clusters v1beta1.ManagedClusterList
	if err := r.Client.List(ctx, &clusters); err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	for i := range clusters.Items {
		cluster := &clusters.Items[i]
		if cluster.Status.APIServerReady == nil || cluster.Status.PowerState.Code == v1beta1.PowerStopped || !cluster.DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.record(ctx, cluster); err != nil && ctx.Err() == nil {
			r.Log.Warn("record the use of deprecated APIs", "cluster", cluster.Name, "err", err)
		}
	}
	return nil
}

func (r *Recorder) record(ctx context.Context, cluster *v1beta1.ManagedCluster) error {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	known, object, err := readRecord(ctx, r.Management, cluster.Spec.ID)
	if err != nil {
		return err
	}
	counted, err := r.count(ctx, cluster)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(policy.MergeUses(known, counted, r.now()))
	if err != nil {
		return fmt.Errorf("encode record of %s: %w", cluster.Name, err)
	}
	object.Data = map[string]string{recordKey: string(raw)}
	if object.ResourceVersion == "" {
		err = r.Client.Create(ctx, object)
	} else {
		err = r.Client.Update(ctx, object)
	}
	if err != nil {
		return fmt.Errorf("write record of %s: %w", cluster.Name, err)
	}
	return nil
}

// readRecord reads what was recorded of a cluster, and the object that keeps it.
func readRecord(ctx context.Context, reader client.Reader, clusterID string) ([]policy.APIUse, *corev1.ConfigMap, error) {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: RecordName, Labels: map[string]string{v1beta1.LabelClusterID: clusterID},
	}}
	err := reader.Get(ctx, client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return nil, object, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read record %s: %w", client.ObjectKeyFromObject(object), err)
	}
	var uses []policy.APIUse
	if err := json.Unmarshal([]byte(object.Data[recordKey]), &uses); err != nil {
		return nil, nil, fmt.Errorf("record %s is damaged; delete it: %w", client.ObjectKeyFromObject(object), err)
	}
	return uses, object, nil
}
