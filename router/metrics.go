package router

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/projection"
)

// Register gives the router's metrics to a registry: picks, blocked picks, and probes
// let out. Picks count whether or not anybody reads it, but for plain ones of
// [FillFirst], which write nothing else: those count from here on. The error is the
// registry's: it takes one router for each engine.
func (r *Router) Register(to prometheus.Registerer) error {
	err := to.Register(newMetrics(r))
	if err == nil {
		r.memory.counting.Store(true)
	}
	return err
}

// metrics reads the router's counts when they are scraped.
type metrics struct {
	engine *projection.Engine
	memory *memory

	mu sync.Mutex
	// pools :: turns → what they count under. It never changes once it was read, even
	// when the provider becomes known later: a counter must not go down.
	pools map[*turns]projection.PoolLabels

	picks, blocked, probes *prometheus.Desc
}

func newMetrics(r *Router) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("abeyance_"+name, help, append([]string{"provider", "group"}, labels...), nil)
	}
	return &metrics{
		engine: r.engine, memory: r.memory, pools: map[*turns]projection.PoolLabels{},
		picks:   desc("picks_total", "Picks that found an account, probes included."),
		blocked: desc("blocked_picks_total", "Picks that found no account, by why.", "code"),
		probes:  desc("probes_sent_total", "Requests let through to a cooling account, to see whether its quota is back."),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.picks
	ch <- m.blocked
	ch <- m.probes
}

// poolCounts are what one pool's targets add up to.
type poolCounts struct {
	picks, probes uint64
	blocked       [blockCodes]uint64
}

// Collect implements prometheus.Collector. Targets of one label are added up: each model
// without a group has turns of its own.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sums := map[projection.PoolLabels]*poolCounts{}
	for key, t := range m.memory.allTurns() {
		pool, known := m.pools[t]
		if !known {
			pool = m.engine.PoolLabels(key.provider, key.target)
			m.pools[t] = pool
		}
		if sums[pool] == nil {
			sums[pool] = new(poolCounts)
		}
		sums[pool].add(t)
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for pool, sum := range sums {
		count(m.picks, sum.picks, pool.Provider, pool.Group)
		count(m.probes, sum.probes, pool.Provider, pool.Group)
		for i, code := range allBlockCodes() {
			count(m.blocked, sum.blocked[i], pool.Provider, pool.Group, string(code))
		}
	}
}

func (c *poolCounts) add(t *turns) {
	c.picks += t.picks()
	c.probes += t.tally.probes.Load()
	for i := range c.blocked {
		c.blocked[i] += t.tally.blocked[i].Load()
	}
}
