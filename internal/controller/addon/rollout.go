package addon

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/addon"
)

const (
	// proxyPatience is how long an upgrade waits for kube-proxy: a node that is dead
	// never has the new one.
	proxyPatience = 2 * time.Minute
	// proxyAgain is how soon it is looked for again.
	proxyAgain = time.Second
)

// proxiesChange says whether an upgrade's kube-proxy is still on its way to some
// nodes. A node that has none for some seconds does not hear of endpoints that go, as
// they do when the next step of the upgrade drains other nodes.
func (r *reconciler) proxiesChange(ctx context.Context, cluster *v1beta1.ManagedCluster) (bool, error) {
	up := cluster.Status.Upgrade
	if up == nil || up.Phase != v1beta1.UpgradeComponents || r.Now().Sub(up.PhaseSince.Time) >= proxyPatience {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	target, err := r.Tenants.Client(ctx, cluster.Spec.ID)
	if err != nil {
		return false, err
	}
	var set appsv1.DaemonSet
	if err := target.Get(ctx, addon.ProxyKey(), &set); err != nil {
		return false, fmt.Errorf("read kube-proxy: %w", err)
	}
	var pods corev1.PodList
	if err := target.List(ctx, &pods, client.InNamespace(set.Namespace), client.MatchingLabels(set.Spec.Selector.MatchLabels)); err != nil {
		return false, fmt.Errorf("list kube-proxy's pods: %w", err)
	}
	return !rolledOut(&set, pods.Items), nil
}

// rolledOut says whether as many pods of what the set is now are ready as it has nodes.
func rolledOut(set *appsv1.DaemonSet, pods []corev1.Pod) bool {
	return current(set, pods) >= set.Status.DesiredNumberScheduled
}

// current counts the ready pods of what a set is now.
func current(set *appsv1.DaemonSet, pods []corev1.Pod) int32 {
	image, count := set.Spec.Template.Spec.Containers[0].Image, int32(0)
	for _, pod := range pods {
		ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		if ready && pod.DeletionTimestamp == nil && pod.Spec.Containers[0].Image == image {
			count++
		}
	}
	return count
}
