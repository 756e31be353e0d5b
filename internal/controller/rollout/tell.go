package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
)

// The reasons of events: of a rollout, and of a cluster.
const (
	reasonStarted   = "RolloutStarted"
	reasonWave      = "RolloutWaveStarted"
	reasonStopped   = "RolloutStopped"
	reasonCompleted = "RolloutCompleted"

	reasonPatched  = "ComponentsPatched"
	reasonReturned = "ComponentsReturned"
)

// tell says on a rollout what is new of it.
func (r *reconciler) tell(one *v1beta1.ComponentRollout, last v1beta1.ComponentRolloutStatus) {
	next := &one.Status
	say := func(kind, reason, format string, args ...any) {
		r.events.Eventf(one, nil, kind, reason, "RollOut", "%s", activity.Clip(fmt.Sprintf(format, args...)))
	}
	if last.State == "" && next.State == v1beta1.RolloutProgressing {
		say(corev1.EventTypeNormal, reasonStarted, "to %s", list(one.Spec.Images))
	}
	if next.Wave > last.Wave {
		say(corev1.EventTypeNormal, reasonWave, "wave %d: %d clusters are reached with it", next.Wave, next.Limit)
	}
	if next.State == last.State {
		return
	}
	switch next.State {
	case v1beta1.RolloutStopped:
		say(corev1.EventTypeWarning, reasonStopped, "%s", next.Message)
	case v1beta1.RolloutCompleted:
		say(corev1.EventTypeNormal, reasonCompleted, "%d clusters have %s", next.Clusters.Reached, list(one.Spec.Images))
	}
}

// list names images.
func list(images map[string]string) string {
	all := make([]string, 0, len(images))
	for _, name := range slices.Sorted(maps.Keys(images)) {
		all = append(all, images[name][strings.LastIndex(images[name], "/")+1:])
	}
	return strings.Join(all, ", ")
}

// tellCluster says to a cluster's owners that its components change (H1): in the
// activity log and as an event.
func (r *reconciler) tellCluster(ctx context.Context, cluster *v1beta1.ManagedCluster, next v1beta1.ClusterRollout) {
	var last v1beta1.ClusterRollout
	if cluster.Status.ComponentRollout != nil {
		last = *cluster.Status.ComponentRollout
	}
	kind, reason, words := corev1.EventTypeWarning, reasonReturned, next.Message
	if next.Phase != v1beta1.ClusterReturned && next.Phase != v1beta1.ClusterHeld {
		news := changed(cluster.Status.AddonsImages, r.Catalogue.ImagesIn(cluster.Status.ComponentsVersion(), next.Images))
		if next.Name == last.Name && next.Attempt == last.Attempt || news == "" {
			return // the same images, or its first
		}
		kind, reason, words = corev1.EventTypeNormal, reasonPatched, "the managed components become "+news
	}
	words = activity.Clip(fmt.Sprintf("H1: %s: %s", next.Name, words))
	// Events that differ in their words alone are one to Kubernetes: what they are about differs.
	about := &v1beta1.ComponentRollout{ObjectMeta: metav1.ObjectMeta{Name: next.Name}}
	r.events.Eventf(cluster, about, kind, reason, "RollOut", "%s", words)
	r.log.Record(ctx, activity.Notice{
		Object:         cluster,
		ActivityNotice: v1beta1.ActivityNotice{Reason: reason, Message: words, Warning: kind == corev1.EventTypeWarning},
		Occasion:       fmt.Sprint(next.Name, next.Attempt, next.Phase),
	})
}

// changed names the images that are others than those that a cluster has.
func changed(has, images map[string]string) string {
	news := map[string]string{}
	for name, image := range images {
		if has[name] != "" && has[name] != image {
			news[name] = image
		}
	}
	return list(news)
}

var (
	clustersMetric = prometheus.NewDesc("berth_component_rollout_clusters",
		"Clusters by how the newest rollout of component images stands there (H1).", []string{"rollout", "part"}, nil)
	stoppedMetric = prometheus.NewDesc("berth_component_rollout_stopped",
		"1 while the newest rollout of component images is stopped (H1).", []string{"rollout"}, nil)
)

// scrapeTimeout bounds the reading of the cache for one scrape.
const scrapeTimeout = 5 * time.Second

// fleet is the metrics of the newest rollout, read from the cache.
type fleet struct{ client client.Client }

// Describe implements prometheus.Collector.
func (fleet) Describe(out chan<- *prometheus.Desc) { out <- clustersMetric; out <- stoppedMetric }

// Collect implements prometheus.Collector.
func (f fleet) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var all v1beta1.ComponentRolloutList
	if err := f.client.List(ctx, &all); err != nil || len(all.Items) == 0 {
		return // not started, or not the leader: nothing is known here
	}
	one := slices.MaxFunc(all.Items, func(a, b v1beta1.ComponentRollout) int { return int(a.Spec.Number - b.Spec.Number) })
	n, stopped := one.Status.Clusters, 0.0
	for part, count := range map[string]int32{"reached": n.Reached, "ready": n.Ready, "failed": n.Failed, "waiting": n.Waiting, "away": n.Away} {
		out <- prometheus.MustNewConstMetric(clustersMetric, prometheus.GaugeValue, float64(count), one.Name, part)
	}
	if one.Status.State == v1beta1.RolloutStopped {
		stopped = 1
	}
	out <- prometheus.MustNewConstMetric(stoppedMetric, prometheus.GaugeValue, stopped, one.Name)
}
