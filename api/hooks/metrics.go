package hooks

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are by the names of hooks, which the configuration bounds.
type metrics struct {
	deliveries *prometheus.CounterVec
	notifier   *Notifier
	lag        *prometheus.Desc
	pending    *prometheus.Desc
	disabled   *prometheus.Desc
}

func newMetrics(n *Notifier) *metrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"webhook"}, nil)
	}
	return &metrics{
		notifier: n,
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "abeyance_webhook_deliveries_total", Help: "Attempts to deliver a message, by webhook and result.",
		}, []string{"webhook", "result"}),
		lag:      desc("abeyance_webhook_lag_records", "Records of the log that a webhook has not been told of, whether or not there is something to tell."),
		pending:  desc("abeyance_webhook_pending", "Things that a webhook is to be told, as far as it has looked ahead."),
		disabled: desc("abeyance_webhook_disabled", "1 if the receiver of a webhook answered 410 Gone, so that it is sent nothing."),
	}
}

// begin makes the counters of a hook, so that they are there before the first attempt.
func (m *metrics) begin(hook string) {
	for _, o := range outcomes() {
		m.deliveries.WithLabelValues(hook, string(o))
	}
}

// end drops the counters of a hook that is no more.
func (m *metrics) end(hook string) {
	m.deliveries.DeletePartialMatch(prometheus.Labels{"webhook": hook})
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	m.deliveries.Describe(to)
	to <- m.lag
	to <- m.pending
	to <- m.disabled
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	m.deliveries.Collect(to)
	head := uint64(m.notifier.parts.engine.State().Head().Seq)
	for _, w := range m.notifier.list() {
		gauge := func(d *prometheus.Desc, v float64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, w.hook.Name)
		}
		gauge(m.lag, float64(head-min(head, w.settled.Load())))
		gauge(m.pending, float64(w.pending.Load()))
		disabled := 0.0
		if w.gone.Load() {
			disabled = 1
		}
		gauge(m.disabled, disabled)
	}
}
