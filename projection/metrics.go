package projection

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/events"
)

// metrics is the engine's collector. What can be read off the state is read when
// it is scraped; only what passes is counted.
type metrics struct {
	engine *Engine
	labels labels
	folded time.Duration // to bring the state up to the log's head at the start
	gauges gauges

	observations *prometheus.CounterVec
	probes       *prometheus.CounterVec
	freezes      *prometheus.CounterVec
	lengths      *prometheus.HistogramVec
	latency      prometheus.Histogram
	batch        prometheus.Histogram
	jumps        prometheus.Counter
}

func newMetrics(e *Engine, perAccount bool) *metrics {
	m := &metrics{
		engine: e, labels: labels{given: map[PoolLabels]bool{}}, gauges: newGauges(perAccount),
		observations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "abeyance_observations_total", Help: "Upstream answers recorded, by class and effect.",
		}, []string{"class", "effect"}),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "abeyance_probes_total", Help: "Answers to probes recorded, by effect: recovered, or the quota is still spent.",
		}, []string{"effect"}),
		freezes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "abeyance_freezes_total", Help: "Blocks that began: cooling and held automatically, suspended by hand.",
		}, []string{"provider", "group", "kind"}),
		lengths: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "abeyance_episode_seconds", Help: "How long the blocks lasted that ended.",
			Buckets: []float64{1, 10, 60, 300, 900, 3600, 5 * 3600, 12 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600, 31 * 24 * 3600},
		}, []string{"kind"}),
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
	}
	for _, c := range events.Classes() {
		m.observations.WithLabelValues(string(c), string(events.EffectStarted))
	}
	for _, effect := range []events.Effect{events.EffectRecovered, events.EffectKept} {
		m.probes.WithLabelValues(string(effect))
	}
	for _, kind := range blockKinds() {
		m.lengths.WithLabelValues(string(kind))
	}
	return m
}

// Describe implements prometheus.Collector. It does not ask Collect: a pool that is
// empty yet has no usable accounts to show.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.counted() {
		c.Describe(ch)
	}
	for _, d := range m.gauges.all() {
		ch <- d
	}
}

func (m *metrics) counted() []prometheus.Collector {
	return []prometheus.Collector{m.observations, m.probes, m.freezes, m.lengths, m.latency, m.batch, m.jumps}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.counted() {
		c.Collect(ch)
	}
	reading{m: m, ch: ch, view: m.engine.View(), now: m.engine.now().UTC()}.all()
}

// appended counts a batch that is durable.
func (m *metrics) appended(b *batch, took time.Duration) {
	m.latency.Observe(took.Seconds())
	m.batch.Observe(float64(len(b.taken)))
	for x, n := range b.turned.began {
		m.freezes.WithLabelValues(x.Provider, x.Group, string(x.kind)).Add(float64(n))
	}
	for _, x := range b.turned.ended {
		m.lengths.WithLabelValues(string(x.kind)).Observe(x.lasted.Seconds())
	}
	observed := map[observedAs]int{}
	served := "" // the report whose success was counted as a probe last: it may end several blocks
	for _, r := range b.records {
		switch e := r.Event.(type) {
		case *events.LimitObserved:
			observed[observedAs{e.Class, e.Effect}]++
			if e.Probe {
				m.probes.WithLabelValues(string(e.Effect)).Inc()
			}
		case *events.Recovered:
			observed[observedAs{events.ClassOK, events.EffectRecovered}]++
			if e.Probe && r.CorrelationID != served {
				served = r.CorrelationID
				m.probes.WithLabelValues(string(events.EffectRecovered)).Inc()
			}
		}
	}
	for as, n := range observed { // a look-up costs more than all else of a record
		m.observations.WithLabelValues(string(as.class), string(as.effect)).Add(float64(n))
	}
}

// observedAs is what observations are counted by.
type observedAs struct {
	class  events.Class
	effect events.Effect
}
