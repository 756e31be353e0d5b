package gateway

import "github.com/prometheus/client_golang/prometheus"

// The outcomes of a connection, as a metric's label.
const (
	outcomeOK          = "ok"
	outcomeBusy        = "too_many"
	outcomeBadHello    = "bad_hello"
	outcomeGone        = "gone"
	outcomeNoName      = "no_name"
	outcomeUnknown     = "unknown_name"
	outcomeStopped     = "stopped"
	outcomeDenied      = "denied"
	outcomeUnreachable = "unreachable"
)

type metrics struct {
	connections *prometheus.CounterVec
	transferred *prometheus.CounterVec
	open        *prometheus.Desc
}

func newMetrics() *metrics {
	return &metrics{
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_gateway_connections_total",
			Help: "Connections that ended their handshake with the gateway, by outcome.",
		}, []string{"outcome"}),
		transferred: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_gateway_bytes_total",
			Help: "Bytes carried by ended streams, in (to API servers) and out.",
		}, []string{"direction"}),
		open: prometheus.NewDesc("berth_gateway_streams", "Open streams by server name.", []string{"fqdn"}, nil),
	}
}

func (m *metrics) connection(outcome string) { m.connections.WithLabelValues(outcome).Inc() }
func (m *metrics) bytes(direction string, n int64) {
	m.transferred.WithLabelValues(direction).Add(float64(n))
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(out chan<- *prometheus.Desc) {
	s.metrics.connections.Describe(out)
	s.metrics.transferred.Describe(out)
	out <- s.metrics.open
}

// Collect implements prometheus.Collector. Only names that have a route are labels, so clients cannot make new ones.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	s.metrics.connections.Collect(out)
	s.metrics.transferred.Collect(out)
	for name, count := range s.Connections() {
		out <- prometheus.MustNewConstMetric(s.metrics.open, prometheus.GaugeValue, float64(count), name)
	}
}
