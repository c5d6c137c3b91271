package router

import (
	"fmt"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router/signal"
)

// TestLeasesThatNeverReport cost nothing and block nothing: a client goes away, a process
// is killed.
func TestLeasesThatNeverReport(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(4, nil), probes: asShipped()})
	q := Request{Model: opus}
	head := p.engine.State().Head()
	for range 10_000 {
		p.lease(q)
		p.lease(Request{Model: opus, Candidates: []string{"a001", "unknown"}})
		p.lease(Request{Model: sonnet, Strategy: Sticky, Session: "s"})
	}
	if p.engine.State().Head() != head || len(*p.memory.turns.Load()) != 1 {
		t.Errorf("picks left %d records and %d turns", p.engine.State().Head().Seq-head.Seq, len(*p.memory.turns.Load()))
	}
	served := map[string]int{}
	for range 400 {
		served[p.served(q)]++
	}
	share(t, served, 4)
	// Nor do probes: each is over after two minutes, and no more of them is kept than
	// tells the accounts apart.
	for i := 1; i <= 4; i++ {
		p.cool(fmt.Sprintf("a%03d", i), opus, week.Seconds())
	}
	p.tick(5 * time.Minute)
	clear(served)
	for range 400 {
		if l := p.lease(q); l.Probe == 0 {
			t.Fatalf("picked %#v, want a probe", l)
		} else {
			served[l.Account]++
		}
		p.blocked(q)
		p.tick(2 * time.Minute)
	}
	share(t, served, 4)
	if n := len(p.memory.turnsOf(p.engine.State().Groups().Resolve(provider, opus)).claim.Load().before); n > maxTried {
		t.Errorf("%d claims are kept", n)
	}
}

// TestRule19EvidenceByLease: what a lease was picked from orders the evidence of its
// report, however late that comes.
func TestRule19EvidenceByLease(t *testing.T) {
	served, limit := signal.Observation{Status: 200}, spent()
	cell := projection.Filter{Account: "a001", Target: "claude"}
	cleared := func(p *pool) { p.do(&projection.Clear{Filter: cell}) }
	tests := map[string]struct {
		before func(p *pool) // the lease is picked
		after  func(p *pool) // the lease is picked
		report signal.Observation
		effect events.Effect
		why    string
		usable bool
	}{
		"a success from before the freeze": {nil, (*pool).freezeOne, served, events.EffectNone, events.WhyOlderSuccess, false},
		"a success from after it":          {(*pool).freezeOne, nil, served, events.EffectRecovered, "", true},
		"a success from before a newer 429": {
			(*pool).freezeOne, func(p *pool) { p.tick(time.Second); p.cool("a001", opus, 60) }, served,
			events.EffectNone, events.WhyOlderSuccess, false,
		},
		"a 429 from before a clear":   {(*pool).freezeOne, cleared, limit, events.EffectNone, events.WhyStale, true},
		"a 429 from after it":         {func(p *pool) { p.freezeOne(); cleared(p) }, nil, limit, events.EffectStarted, "", false},
		"a 429 from before a success": {(*pool).freezeOne, (*pool).recoverOne, limit, events.EffectNone, events.WhyStale, true},
		"a 429 from before a lift": {
			func(p *pool) { p.suspend("a001", "claude", 0) }, func(p *pool) { p.do(&projection.Lift{Filter: cell}) }, limit,
			events.EffectStarted, "", false,
		},
		"a 429 from before an expiry": {
			func(p *pool) { p.cool("a001", opus, 60) }, func(p *pool) { p.tick(5 * time.Minute); p.do(&projection.Expire{}) }, limit,
			events.EffectStarted, "", false,
		},
		"a success where nothing blocks": {nil, nil, served, events.EffectNone, events.WhyNothingBlocked, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, setup{accounts: accounts(1, nil)})
			if test.before != nil {
				test.before(p)
			}
			l := Lease{Account: "a001", Provider: provider, Model: opus, Seq: p.engine.State().Head().Seq}
			if test.after != nil {
				test.after(p)
			}
			// The clock would order them otherwise.
			test.report.StartedAt = p.now().Add(-time.Hour)
			if test.effect == events.EffectNone {
				test.report.StartedAt = p.now()
			}
			head := p.engine.State().Head().Seq
			out := p.report(l, test.report)
			if out.Effect != test.effect || out.Why != test.why {
				t.Errorf("effect %s %q, want %s %q", out.Effect, out.Why, test.effect, test.why)
			}
			// Every 429 is recorded, and a success only where it ends something.
			if recorded := p.engine.State().Head().Seq > head; recorded != (test.report.Status == 429 || test.effect == events.EffectRecovered) {
				t.Errorf("recorded: %t", recorded)
			}
			if got := p.served(Request{Model: opus}); (got == "a001") != test.usable {
				t.Errorf("served %s", got)
			}
		})
	}
}

func (p *pool) freezeOne() { p.Helper(); p.cool("a001", opus, 86400) }

// recoverOne ends a freeze by a newer success.
func (p *pool) recoverOne() {
	p.Helper()
	l := Lease{Account: "a001", Provider: provider, Model: opus, Seq: p.engine.State().Head().Seq}
	if out := p.report(l, signal.Observation{Status: 200}); out.Effect != events.EffectRecovered {
		p.Fatalf("the success: %s %s", out.Effect, out.Why)
	}
}

// TestRule20ABurstInFlight: those that were on their way when an account froze are each
// recorded once, keep the freeze as it is, and do not bring it back once it was cleared.
func TestRule20ABurstInFlight(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	var leases []Lease
	for range 20 {
		leases = append(leases, p.lease(Request{Model: opus}))
	}
	report := func(i int) Outcome {
		o := spent()
		o.RequestID = fmt.Sprint("r", i)
		return p.report(leases[i], o)
	}
	first := report(0)
	for i := 1; i < 10; i++ {
		if out := report(i); out.Effect != events.EffectKept || !out.Until.Equal(first.Until) {
			t.Errorf("report %d: %s until %s", i, out.Effect, out.Until)
		}
	}
	if again := report(3); !again.Repeated {
		t.Errorf("the same observation again: %+v", again)
	}
	p.do(&projection.Clear{Filter: projection.Filter{Account: "a001", Target: "claude"}})
	for i := 10; i < 20; i++ {
		if out := report(i); out.Effect != events.EffectNone || out.Why != events.WhyStale {
			t.Errorf("report %d: %s %s", i, out.Effect, out.Why)
		}
	}
	p.wants(p.round(1, Request{Model: opus}), "a001")
	limits := 0
	for r, err := range p.log.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind() == events.KindLimitObserved {
			limits++
		}
	}
	if limits != 20 {
		t.Errorf("%d records of 20 answers", limits)
	}
}
