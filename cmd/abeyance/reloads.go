package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reloads is the metrics of the configuration's reloads. The start counts as the first
// that went well, but not as a reload.
type reloads struct {
	total  *prometheus.CounterVec
	failed prometheus.Gauge
	last   prometheus.Gauge
}

// The results of a reload.
const (
	reloadApplied   = "applied"
	reloadUnchanged = "unchanged"
	reloadFailed    = "failed"
)

func newReloads(started time.Time) *reloads {
	r := &reloads{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "abeyance_config_reloads_total", Help: "Reloads of the configuration, by result.",
		}, []string{"result"}),
		failed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "abeyance_config_reload_failed", Help: "1 if the last reload was refused and the configuration before it is in force, else 0.",
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "abeyance_config_last_reload_success_timestamp_seconds", Help: "When the configuration was last read without a mistake.",
		}),
	}
	for _, result := range []string{reloadApplied, reloadUnchanged, reloadFailed} {
		r.total.WithLabelValues(result)
	}
	r.last.Set(unixSeconds(started))
	return r
}

// done counts a reload. err is why it was refused; changed tells whether the file said
// anything new.
func (r *reloads) done(at time.Time, changed bool, err error) {
	switch {
	case err != nil:
		r.total.WithLabelValues(reloadFailed).Inc()
		r.failed.Set(1)
		return
	case changed:
		r.total.WithLabelValues(reloadApplied).Inc()
	default:
		r.total.WithLabelValues(reloadUnchanged).Inc()
	}
	r.failed.Set(0)
	r.last.Set(unixSeconds(at))
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Describe implements prometheus.Collector.
func (r *reloads) Describe(ch chan<- *prometheus.Desc) {
	r.total.Describe(ch)
	r.failed.Describe(ch)
	r.last.Describe(ch)
}

// Collect implements prometheus.Collector.
func (r *reloads) Collect(ch chan<- prometheus.Metric) {
	r.total.Collect(ch)
	r.failed.Collect(ch)
	r.last.Collect(ch)
}
