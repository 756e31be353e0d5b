package space

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// gauges are the metrics of etcds, by cluster; of several members the largest counts.
type gauges struct {
	size, inUse, quota *prometheus.GaugeVec
	cleanings          *prometheus.CounterVec
}

func newGauges() gauges {
	labels := []string{"namespace", "cluster"}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	return gauges{
		size:  gauge("berth_etcd_database_bytes", "How much the largest database of a cluster's etcd takes."),
		inUse: gauge("berth_etcd_database_in_use_bytes", "How much of the largest database of a cluster's etcd holds something."),
		quota: gauge("berth_etcd_quota_bytes", "How much a database of a cluster's etcd may take."),
		cleanings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_etcd_cleanings_total", Help: "Attempts at making room in a cluster's etcd, by their results: Cleaned, Full, Failed.",
		}, append(labels, "result")),
	}
}

func (g gauges) register(metrics prometheus.Registerer) error {
	for _, collector := range []prometheus.Collector{g.size, g.inUse, g.quota, g.cleanings} {
		if err := metrics.Register(collector); err != nil {
			return fmt.Errorf("register metrics of etcds: %w", err)
		}
	}
	return nil
}

func (g gauges) show(key types.NamespacedName, members []policy.EtcdUsage) {
	var largest policy.EtcdUsage
	for _, m := range members {
		if m.Size > largest.Size {
			largest = m
		}
	}
	if largest.Quota == 0 {
		return // none answers
	}
	g.size.WithLabelValues(key.Namespace, key.Name).Set(float64(largest.Size))
	g.inUse.WithLabelValues(key.Namespace, key.Name).Set(float64(largest.InUse))
	g.quota.WithLabelValues(key.Namespace, key.Name).Set(float64(largest.Quota))
}

func (g gauges) ended(key types.NamespacedName, result v1beta1.EtcdCleaningResult) {
	g.cleanings.WithLabelValues(key.Namespace, key.Name, string(result)).Inc()
}

func (g gauges) forget(key types.NamespacedName) {
	of := prometheus.Labels{"namespace": key.Namespace, "cluster": key.Name}
	for _, gauge := range []*prometheus.GaugeVec{g.size, g.inUse, g.quota} {
		gauge.DeletePartialMatch(of)
	}
}
