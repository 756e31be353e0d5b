package addon

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/operation"
)

// How soon it is looked again whether the components run: in a cluster that takes new
// images, in one that is watched after it did, and in one whose components do not.
const (
	whileTaking   = 2 * time.Second
	whileWatched  = 15 * time.Second
	whileNotReady = 30 * time.Second
)

// returning is for how long a cluster that goes back is looked at as if it took images.
const returning = 5 * time.Minute

// missing says which components do not run as they were applied; empty if all do. kube-proxy
// is left out, which an upgrade of the cluster waits for by itself.
func (r *reconciler) missing(ctx context.Context, cluster *v1beta1.ManagedCluster, target client.Reader, objects []client.Object) (string, error) {
	dead, err := r.deadNodes(ctx, cluster)
	if err != nil {
		return "", err
	}
	var all []string
	for _, object := range objects {
		key := client.ObjectKeyFromObject(object)
		if key == addon.ProxyKey() {
			continue
		}
		if lacks := lacksNow(ctx, target, object, dead); lacks != "" {
			all = append(all, fmt.Sprintf("%s: %s", key.Name, lacks))
		}
	}
	return strings.Join(all, "; "), nil
}

// lacksNow says what a workload lacks as it is now. One that somebody deleted, and that waits
// to be put back, is not there.
func lacksNow(ctx context.Context, target client.Reader, object client.Object, dead int32) string {
	var err error
	switch object.(type) {
	case *appsv1.Deployment:
		var has appsv1.Deployment
		if err = target.Get(ctx, client.ObjectKeyFromObject(object), &has); err == nil {
			return deploymentLacks(&has)
		}
	case *appsv1.DaemonSet:
		var has appsv1.DaemonSet
		if err = target.Get(ctx, client.ObjectKeyFromObject(object), &has); err != nil {
			break
		}
		if dead == 0 {
			return daemonSetLacks(&has, min(has.Status.UpdatedNumberScheduled, has.Status.NumberAvailable), 0)
		}
		// Its status does not tell of the pods on dead nodes whether they are the new ones.
		var pods corev1.PodList
		if err = target.List(ctx, &pods, client.InNamespace(has.Namespace), client.MatchingLabels(has.Spec.Selector.MatchLabels)); err == nil {
			return daemonSetLacks(&has, current(&has, pods.Items), dead)
		}
	}
	if err != nil {
		return "it could not be read: " + err.Error()
	}
	return ""
}

// deploymentLacks says what a Deployment lacks. Of several replicas one may be away: a node
// is drained now and then.
func deploymentLacks(d *appsv1.Deployment) string {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	updated, has := d.Status.UpdatedReplicas, d.Status
	if has.ObservedGeneration < d.Generation {
		updated = 0
	}
	if updated >= want && has.Replicas == updated && has.AvailableReplicas >= max(1, want-1) {
		return ""
	}
	return fmt.Sprintf("%d of %d replicas have %s, %d are available", updated, want, d.Spec.Template.Spec.Containers[0].Image, has.AvailableReplicas)
}

// daemonSetLacks says what a DaemonSet lacks of which so many pods are ready as it is now, on
// nodes of which so many are not ready themselves.
func daemonSetLacks(d *appsv1.DaemonSet, ready, dead int32) string {
	if d.Status.ObservedGeneration >= d.Generation && ready >= d.Status.DesiredNumberScheduled-dead {
		return ""
	}
	return fmt.Sprintf("on %d of %d nodes %s is ready", ready, d.Status.DesiredNumberScheduled, d.Spec.Template.Spec.Containers[0].Image)
}

// deadNodes is how many nodes of a cluster are not ready.
func (r *reconciler) deadNodes(ctx context.Context, cluster *v1beta1.ManagedCluster) (int32, error) {
	var pools v1beta1.AgentPoolList
	of := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}
	if err := r.client.List(ctx, &pools, client.InNamespace(cluster.Namespace), of); err != nil {
		return 0, fmt.Errorf("list agent pools: %w", err)
	}
	dead := int32(0)
	for i := range pools.Items {
		dead += max(0, pools.Items[i].Status.Count-pools.Items[i].Status.ReadyCount)
	}
	return dead, nil
}

// watchful is how soon a cluster's components are looked at again, beside what the keeper
// says: a rollout waits for what is seen.
func (r *reconciler) watchful(ctx context.Context, cluster *v1beta1.ManagedCluster, o outcome) time.Duration {
	var rollout v1beta1.ComponentRollout
	at := cluster.Status.ComponentRollout
	progressing := at != nil && r.client.Get(ctx, client.ObjectKey{Name: at.Name}, &rollout) == nil && rollout.Status.State == v1beta1.RolloutProgressing
	switch {
	case progressing && at.Phase == v1beta1.ClusterTaking:
		return whileTaking
	case at != nil && at.Phase == v1beta1.ClusterReturned && o.missing != "" && r.Now().Sub(at.Since.Time) < returning:
		return whileTaking
	case o.missing != "":
		return whileNotReady
	case progressing:
		return whileWatched
	default:
		return time.Hour
	}
}
