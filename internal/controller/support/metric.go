package support

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

var stateMetric = prometheus.NewDesc("berth_cluster_support_state",
	"1 for the state that a cluster has under the support policy (X1).", []string{"namespace", "cluster", "state"}, nil)

// scrapeTimeout bounds the reading of the cache for one scrape.
const scrapeTimeout = 5 * time.Second

// states is the metric of all clusters, read from the cache.
type states struct{ client client.Client }

// Describe implements prometheus.Collector.
func (states) Describe(out chan<- *prometheus.Desc) { out <- stateMetric }

// Collect implements prometheus.Collector.
func (s states) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var list v1beta1.ManagedClusterList
	if err := s.client.List(ctx, &list); err != nil {
		return // not started, or not the leader: nothing is known here
	}
	for i := range list.Items {
		cluster := &list.Items[i]
		if cluster.Status.Support != nil {
			out <- prometheus.MustNewConstMetric(stateMetric, prometheus.GaugeValue, 1, cluster.Namespace, cluster.Name, string(cluster.Status.Support.State))
		}
	}
}
