package api

import (
	"cmp"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests. Its labels are bounded: routes are those of the table,
// and never a path.
type metrics struct {
	requests    *prometheus.CounterVec
	latency     *prometheus.HistogramVec
	subscribers prometheus.Gauge
	dropped     prometheus.Counter
	refused     prometheus.Counter
}

// logSize is read when it is scraped; there is no series while it is not known.
type logSize struct {
	backend func() *Backend // nil: starting
	desc    *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (l *logSize) Describe(ch chan<- *prometheus.Desc) { ch <- l.desc }

// Collect implements prometheus.Collector.
func (l *logSize) Collect(ch chan<- prometheus.Metric) {
	if b := l.backend(); b != nil && b.Bytes != nil {
		ch <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, float64(b.Bytes()))
	}
}

func newMetrics(r prometheus.Registerer, backend func() *Backend) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "abeyance_http_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"route", "code"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "abeyance_http_request_seconds", Help: "Time to answer, by route.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 4, 10),
		}, []string{"route"}),
		subscribers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "abeyance_subscribers", Help: "Streams of the live history that are open.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "abeyance_subscribers_dropped_total", Help: "Streams of the live history ended because their reader took nothing.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "abeyance_http_connections_refused_total", Help: "Connections closed unread because their peer had as many as one may have.",
		}),
	}
	size := &logSize{backend, prometheus.NewDesc("abeyance_log_bytes", "Size of the log's file.", nil, nil)}
	return m, errors.Join(r.Register(m.requests), r.Register(m.latency), r.Register(m.subscribers), r.Register(m.dropped), r.Register(m.refused), r.Register(size))
}

// count notes one answer. A request that matches no route counts under none. How long a
// stream was open is no time to answer.
func (m *metrics) count(x *exchange, took time.Duration) {
	route := cmp.Or(x.route, "none")
	m.requests.WithLabelValues(route, strconv.Itoa(x.status)).Inc()
	if !x.streamed {
		m.latency.WithLabelValues(route).Observe(took.Seconds())
	}
}
