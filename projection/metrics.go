package projection

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/events"
)

// metrics is the engine's collector. What can be read off the state is read when
// it is scraped; only what passes is counted.
type metrics struct {
	engine       *Engine
	observations *prometheus.CounterVec
	probes       *prometheus.CounterVec
	latency      prometheus.Histogram
	batch        prometheus.Histogram
	jumps        prometheus.Counter

	usable, total, cells, seq, degraded *prometheus.Desc
}

func newMetrics(e *Engine) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("abeyance_"+name, help, labels, nil)
	}
	m := &metrics{
		engine: e,
		observations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "abeyance_observations_total", Help: "Upstream answers recorded, by class and effect.",
		}, []string{"class", "effect"}),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "abeyance_probes_total", Help: "Answers to probes recorded, by effect: recovered, or the quota is still spent.",
		}, []string{"effect"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "abeyance_append_seconds", Help: "Time to append one batch durably.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "abeyance_append_batch_commands", Help: "Commands per append.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		jumps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "abeyance_clock_jumps_total", Help: "Jumps of the system clock by more than 10 seconds.",
		}),
		usable: desc("usable_accounts", "Configured accounts that can serve a quota group now.", "provider", "group"),
		total:  desc("accounts", "Configured accounts of a provider that has the quota group.", "provider", "group"),
		cells:  desc("cells", "Cells by status now, touched ones only.", "status"),
		seq:    desc("log_seq", "Seq of the newest record."),

		degraded: desc("degraded", "1 if the log cannot be written and picks go on from the last state, else 0."),
	}
	for _, c := range events.Classes() {
		m.observations.WithLabelValues(string(c), string(events.EffectStarted))
	}
	for _, effect := range []events.Effect{events.EffectRecovered, events.EffectKept} {
		m.probes.WithLabelValues(string(effect))
	}
	return m
}

// Describe implements prometheus.Collector. It does not ask Collect: a pool that is
// empty yet has no usable accounts to show.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.counted() {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{m.usable, m.total, m.cells, m.seq, m.degraded} {
		ch <- d
	}
}

func (m *metrics) counted() []prometheus.Collector {
	return []prometheus.Collector{m.observations, m.probes, m.latency, m.batch, m.jumps}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.counted() {
		c.Collect(ch)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	view, now := m.engine.View(), m.engine.now()
	s := view.State
	gauge(m.seq, float64(s.Head().Seq))
	degraded := 0.0
	if view.Degraded {
		degraded = 1
	}
	gauge(m.degraded, degraded)
	providers := map[string]bool{}
	byStatus := map[Status]int{}
	for a := range s.Accounts("") {
		providers[a.Spec.Provider] = true
		for i := range a.Cells {
			byStatus[a.CellStatus(&a.Cells[i], now)]++
		}
	}
	for _, status := range Statuses() {
		gauge(m.cells, float64(byStatus[status]), string(status))
	}
	for p := range providers {
		for _, g := range s.groups.Of(p) {
			usable, total := s.Usable(p, g.ID, now)
			gauge(m.usable, float64(usable), p, g.ID)
			gauge(m.total, float64(total), p, g.ID)
		}
	}
}

// appended counts a batch that is durable.
func (m *metrics) appended(recs []events.Record, took time.Duration, commands int) {
	m.latency.Observe(took.Seconds())
	m.batch.Observe(float64(commands))
	served := "" // the report whose success was counted as a probe last: it may end several blocks
	for _, r := range recs {
		switch e := r.Event.(type) {
		case *events.LimitObserved:
			m.observations.WithLabelValues(string(e.Class), string(e.Effect)).Inc()
			if e.Probe {
				m.probes.WithLabelValues(string(e.Effect)).Inc()
			}
		case *events.Recovered:
			m.observations.WithLabelValues(string(events.ClassOK), string(events.EffectRecovered)).Inc()
			if e.Probe && r.CorrelationID != served {
				served = r.CorrelationID
				m.probes.WithLabelValues(string(events.EffectRecovered)).Inc()
			}
		}
	}
}
