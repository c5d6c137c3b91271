package projection

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/events"
)

// gauges describe what is read off the published state when it is scraped.
type gauges struct {
	usable, total, blocked, expiry *prometheus.Desc // by pool
	cells, oldest                  *prometheus.Desc
	seq, degraded, folded          *prometheus.Desc
	saved, savedAt                 *prometheus.Desc
	// Of each account; nil unless the operator asked for it.
	account, returns *prometheus.Desc
}

// The kinds of manual suspensions in metrics.
const (
	kindEndless = "endless"
	kindTimed   = "timed"
)

func newGauges(perAccount bool) gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("abeyance_"+name, help, labels, nil)
	}
	g := gauges{
		usable:   desc("usable_accounts", "Configured accounts that can serve a quota group now.", "provider", "group"),
		total:    desc("accounts", "Configured accounts of a provider that has the quota group.", "provider", "group"),
		blocked:  desc("blocked_accounts", "Configured accounts that cannot serve a quota group now, by why.", "provider", "group", "kind"),
		expiry:   desc("next_expiry_timestamp_seconds", "When the first account of the group that cannot serve comes back by itself; no series: none does.", "provider", "group"),
		cells:    desc("cells", "Cells by status now, touched ones only.", "status"),
		oldest:   desc("oldest_suspension_timestamp_seconds", "Since when the oldest manual suspension in force blocks, among those without and with an end; no series: there is none.", "kind"),
		seq:      desc("log_seq", "Seq of the newest record."),
		degraded: desc("degraded", "1 if the log cannot be written and picks go on from the last state, else 0."),
		folded:   desc("fold_seconds", "Time that reading the log took at the start."),
		saved:    desc("checkpoint_seq", "Seq of the newest checkpoint, from which a start reads on; 0: there is none."),
		savedAt:  desc("checkpoint_timestamp_seconds", "Date of the record of the newest checkpoint; 0: there is none."),
	}
	if perAccount {
		g.account = desc("account_usable", "1 if the configured account can serve the quota group now, else 0.", "account", "provider", "group")
		g.returns = desc("account_return_timestamp_seconds", "When the account comes back to the group by itself; no series: it need not, or does not.", "account", "provider", "group")
	}
	return g
}

func (g *gauges) all() []*prometheus.Desc {
	list := []*prometheus.Desc{g.usable, g.total, g.blocked, g.expiry, g.cells, g.oldest, g.seq, g.degraded, g.folded, g.saved, g.savedAt}
	if g.account != nil {
		list = append(list, g.account, g.returns)
	}
	return list
}

// reading is one scrape.
type reading struct {
	m    *metrics
	ch   chan<- prometheus.Metric
	view *View
	now  time.Time
}

func (x reading) gauge(d *prometheus.Desc, v float64, labels ...string) {
	x.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (x reading) all() {
	x.log()
	x.walk()
	sums := map[PoolLabels]*poolSum{}
	for l := range x.lanes() {
		pool := x.m.labels.of(x.view, l.provider, l.group)
		if sums[pool] == nil {
			sums[pool] = &poolSum{first: Never}
		}
		sums[pool].add(l)
		if x.m.gauges.account != nil && pool.Group != LabelOther {
			x.accounts(pool, l)
		}
	}
	for pool, sum := range sums {
		x.pool(pool, sum)
	}
}

// log tells of the log and of what is kept beside it.
func (x reading) log() {
	g, e := &x.m.gauges, x.m.engine
	x.gauge(g.seq, float64(x.view.State.head.Seq))
	x.gauge(g.folded, x.m.folded.Seconds())
	degraded := 0.0
	if x.view.Degraded {
		degraded = 1
	}
	x.gauge(g.degraded, degraded)
	if e.checkpoints.store == nil {
		return
	}
	var newest events.Head
	if h := e.checkpoints.newest.Load(); h != nil {
		newest = *h
	}
	x.gauge(g.saved, float64(newest.Seq))
	x.gauge(g.savedAt, unixSeconds(newest.At))
}

// walk tells of the cells: the one pass over all accounts.
func (x reading) walk() {
	byStatus := map[Status]int{}
	oldest := map[string]time.Time{}
	for a := range x.view.State.Accounts("") {
		for i := range a.Cells {
			c := &a.Cells[i]
			byStatus[a.CellStatus(c, x.now)]++
			s := c.suspended(x.now)
			if s == nil {
				continue
			}
			kind := kindEndless
			if !s.Until.IsZero() {
				kind = kindTimed
			}
			if first, ok := oldest[kind]; !ok || s.Since.Before(first) {
				oldest[kind] = s.Since
			}
		}
	}
	for _, status := range Statuses() {
		x.gauge(x.m.gauges.cells, float64(byStatus[status]), string(status))
	}
	for kind, since := range oldest {
		x.gauge(x.m.gauges.oldest, unixSeconds(since), kind)
	}
}

// laneOf is how the accounts of a provider stand towards one of its groups.
type laneOf struct {
	provider, group string
	pool            *Pool
	kind            kind
	counts          Counts
	first           Instant // when the first comes back by itself
}

// lanes yields the groups of each provider with configured accounts, and everything, as
// the index has it, of one without groups. After its time the accounts are asked, for
// the moment until the next one is there.
func (x reading) lanes() func(yield func(laneOf) bool) {
	index := x.view.Index
	if !index.Exact(x.now) {
		index = newIndex(x.view.State.order(), x.now)
	}
	return func(yield func(laneOf) bool) {
		for provider, p := range index.pools {
			groups := x.view.State.groups.Of(provider)
			for k, l := range p.lanes {
				if (k == 0) != (len(groups) == 0) {
					continue
				}
				of := laneOf{provider, LabelAll, p, l.kind, l.counts, l.first.end}
				if k > 0 {
					of.group = groups[k-1].ID
				}
				if !yield(of) {
					return
				}
			}
		}
	}
}

// poolSum is what the groups of one label add up to.
type poolSum struct {
	counts Counts
	total  int
	first  Instant
}

func (s *poolSum) add(l laneOf) {
	s.counts.Available += l.counts.Available
	s.counts.Disabled += l.counts.Disabled
	s.counts.Suspended += l.counts.Suspended
	s.counts.Held += l.counts.Held
	s.counts.Cooling += l.counts.Cooling
	s.total += l.pool.Len()
	s.first = min(s.first, l.first)
}

func (x reading) pool(p PoolLabels, s *poolSum) {
	g := &x.m.gauges
	x.gauge(g.usable, float64(s.counts.Available), p.Provider, p.Group)
	x.gauge(g.total, float64(s.total), p.Provider, p.Group)
	for _, by := range []struct {
		kind Status
		n    int
	}{
		{StatusDisabled, s.counts.Disabled},
		{StatusSuspended, s.counts.Suspended},
		{StatusHeld, s.counts.Held},
		{StatusCooling, s.counts.Cooling},
	} {
		x.gauge(g.blocked, float64(by.n), p.Provider, p.Group, string(by.kind))
	}
	if s.first != Never {
		x.gauge(g.expiry, unixSeconds(s.first.Time()), p.Provider, p.Group)
	}
}

// accounts tells of each account of a pool, under the id that it is stored by.
func (x reading) accounts(p PoolLabels, l laneOf) {
	g, judge := &x.m.gauges, judge{x.view.State, x.now}
	for i := range l.pool.Len() {
		a := l.pool.At(i)
		s, usable := judge.stand(a, &l.kind), 0.0
		if s.Status == StatusAvailable {
			usable = 1
		}
		x.gauge(g.account, usable, a.ID, p.Provider, p.Group)
		if s.End != Never {
			x.gauge(g.returns, unixSeconds(s.End.Time()), a.ID, p.Provider, p.Group)
		}
	}
}

// unixSeconds is a time as Prometheus has it: seconds since 1970, 0 for the zero time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
