package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

const (
	// A defragmentation may take leastTime, and a second for every rate bytes of the
	// database: a disk that is slower is none for etcd.
	leastTime = 30 * time.Second
	rate      = 10 << 20
	// patience is how long etcd's own /livez is waited for, a little less than the kubelet
	// waits: there is time left to look whether a defragmentation has begun meanwhile.
	patience = 4 * time.Second
)

// liveness is a /livez that is etcd's own, but while a defragmentation is under way that is
// not overdue. etcd's own reads a key, which a defragmentation locks out as a hang does.
type liveness struct {
	ask string
	// patience is how long etcd's own answer is waited for.
	patience time.Duration
	client   *http.Client
	now      func() time.Time
	metrics  metrics

	mu sync.Mutex
	// seen is when the defragmentation that is the nth was first seen; zero if none is.
	seen time.Time
	nth  uint64
}

func newLiveness(ask string) (*liveness, error) {
	found, err := findMetrics()
	if err != nil {
		return nil, err
	}
	return &liveness{ask: ask, patience: patience, client: &http.Client{Transport: &http.Transport{}}, now: time.Now, metrics: found}, nil
}

func (l *liveness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.defragments() {
		fmt.Fprintln(w, "ok: it is defragmented")
		return
	}
	err := l.asked(r.Context())
	switch {
	case err == nil:
		fmt.Fprintln(w, "ok")
	case l.defragments(): // since it was asked
		fmt.Fprintln(w, "ok: it is defragmented")
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// asked is what etcd's own /livez says.
func (l *liveness) asked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.ask, nil)
	if err != nil {
		return err
	}
	answer, err := l.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", l.ask, answer.Status)
	}
	return nil
}

// defragments says whether a defragmentation is under way that may take as long as it has.
func (l *liveness) defragments() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.metrics.defragments() {
		l.seen = time.Time{}
		return false
	}
	if nth := l.metrics.defragmented(); l.seen.IsZero() || nth != l.nth {
		l.seen, l.nth = l.now(), nth
	}
	return l.now().Sub(l.seen) <= allowed(l.metrics.size())
}

// allowed is how long a database of so many bytes may be defragmented.
func allowed(size int64) time.Duration {
	return leastTime + time.Duration(size/rate)*time.Second
}

// metrics are etcd's own of this process. They are read one by one, since gathering all of
// them waits for locks that are held during a defragmentation.
type metrics struct {
	inflight, durations, total prometheus.Metric
}

// findMetrics finds what etcd has registered, by descriptions that are the same.
func findMetrics() (metrics, error) {
	inflight, err := registered(prometheus.GaugeOpts{
		Name: "etcd_disk_defrag_inflight", Help: "Whether or not defrag is active on the member. 1 means active, 0 means not.",
	})
	if err != nil {
		return metrics{}, err
	}
	durations, err := registered(prometheus.GaugeOpts{
		Name: "etcd_disk_backend_defrag_duration_seconds", Help: "The latency distribution of backend defragmentation.",
	})
	if err != nil {
		return metrics{}, err
	}
	total, err := registered(prometheus.GaugeOpts{
		Name: "etcd_mvcc_db_total_size_in_bytes", Help: "Total size of the underlying database physically allocated in bytes.",
	})
	return metrics{inflight: inflight, durations: durations, total: total}, err
}

// registered is the metric that stands in another's way.
func registered(like prometheus.GaugeOpts) (prometheus.Metric, error) {
	var there prometheus.AlreadyRegisteredError
	if err := prometheus.Register(prometheus.NewGauge(like)); !errors.As(err, &there) {
		return nil, fmt.Errorf("etcd's metric %s is not as it was: %v", like.Name, err)
	}
	metric, ok := there.ExistingCollector.(prometheus.Metric)
	if !ok {
		return nil, fmt.Errorf("etcd's metric %s is a %T", like.Name, there.ExistingCollector)
	}
	return metric, nil
}

func (m metrics) defragments() bool { return read(m.inflight).GetGauge().GetValue() != 0 }

// defragmented is how many defragmentations have come to their end.
func (m metrics) defragmented() uint64 { return read(m.durations).GetHistogram().GetSampleCount() }

// size is how many bytes the database takes.
func (m metrics) size() int64 { return int64(read(m.total).GetGauge().GetValue()) }

func read(metric prometheus.Metric) *dto.Metric {
	var value dto.Metric
	_ = metric.Write(&value) // these know of no error
	return &value
}
