package plugin

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What became of a usage record, as a label of the metric.
const (
	usageSuccess   = "success"    // of an account that nothing blocks: nothing to record
	usageNoAccount = "no_account" // it names none
	usageQueued    = "queued"
	usageRecorded  = "recorded" // durable, or decided to be nothing new
	usageRefused   = "refused"  // such as one of an account that was removed
	usageLost      = "lost"     // the disk could not follow, or failed
	usageInvalid   = "invalid"
)

// metrics count what passes through the plugin. They outlive the log, which may be
// closed and opened again.
type metrics struct{ picks, records *counters }

// counters are one metric by its result. All results are made at once: a vector takes a
// lock to find one, and no pick is to take any.
type counters struct {
	vector *prometheus.CounterVec
	of     map[string]prometheus.Counter // never changed
}

func newCounters(name, help string, results ...string) *counters {
	c := &counters{
		vector: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"result"}),
		of:     map[string]prometheus.Counter{},
	}
	for _, r := range results {
		c.of[r] = c.vector.WithLabelValues(r)
	}
	return c
}

func newMetrics() *metrics {
	return &metrics{
		picks: newCounters("abeyance_cliproxy_picks_total", "Picks of the host, by what they came to.",
			pickFree, pickServed, pickProbe, pickBlocked, pickObserve, pickIdle, pickInvalid),
		records: newCounters("abeyance_cliproxy_usage_records_total",
			"Usage records of the host, by what became of them; a queued one is counted again when it is recorded, refused or lost.",
			usageSuccess, usageNoAccount, usageQueued, usageRecorded, usageRefused, usageLost, usageInvalid),
	}
}

func (m *metrics) pick(result string)  { m.picks.of[result].Inc() }
func (m *metrics) usage(result string) { m.records.of[result].Inc() }

// register adds the metrics to those of a server.
func (m *metrics) register(r prometheus.Registerer) error {
	if err := r.Register(m.picks.vector); err != nil {
		return err
	}
	return r.Register(m.records.vector)
}

// lossPause is how long the host's log is left alone after it was told of losses.
const lossPause = 10 * time.Second

// losses tell the host's log of records that were lost: at once of the first, and of
// those that follow together.
type losses struct {
	logger *slog.Logger

	mu    sync.Mutex // guards what follows; records that are lost are no hot path
	n     uint64     // not told yet
	told  time.Time
	timer *time.Timer
}

func (l *losses) count(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	switch wait := time.Until(l.told.Add(lossPause)); {
	case wait <= 0:
		l.tell(why)
	case l.timer == nil:
		l.timer = time.AfterFunc(wait, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.timer = nil
			if l.n > 0 {
				l.tell(why)
			}
		})
	}
}

// tell logs what was not told yet. The caller holds l.mu.
func (l *losses) tell(why string) {
	l.logger.Error("usage records were lost", "records", l.n, "reason", why)
	l.n, l.told = 0, time.Now()
}

// flush tells what is left, at the end.
func (l *losses) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if l.n > 0 {
		l.tell("at the end")
	}
}
