package router

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router/signal"
)

const week = 7 * 24 * time.Hour

// spentFor is a refusal that says when to come back.
func spentFor(d time.Duration) signal.Observation {
	return signal.Observation{Status: 429, Body: fmt.Appendf(nil,
		`{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
		{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA_EXHAUSTED", "metadata": {"quotaResetDelay": "%gs"}}]}}`, d.Seconds())}
}

// probe returns the lease of a pick that must be let out as a probe of an account.
func (p *pool) probe(q Request, account string) Lease {
	p.Helper()
	l := p.lease(q)
	if l.Probe == 0 || l.Account != account {
		p.Fatalf("picked %s, probe %d; want a probe of %s", l.Account, l.Probe, account)
	}
	return l
}

// bubble runs a test in a bubble of synctest, whose time is the pool's.
func bubble(t *testing.T, s setup, f func(t *testing.T, p *pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.wall = time.Now
		p := newPool(t, s)
		defer p.engine.Close() // before the bubble ends: its goroutine is of it
		f(t, p)
	})
}

// asShipped is the probing of the default policy.
func asShipped() *projection.ProbeConfig { return new(projection.ProbeConfig) }

// TestRule23EmptySchedule: while nobody else can serve, the first probe goes out five
// minutes after the freeze, and after each that fails twice as long, at most an hour.
func TestRule23EmptySchedule(t *testing.T) {
	bubble(t, setup{accounts: accounts(1, nil), probes: asShipped()}, func(t *testing.T, p *pool) {
		q := Request{Model: opus}
		frozen := time.Now()
		p.report(p.lease(q), spentFor(week))
		for i, minutes := range []int{5, 15, 35, 75, 135, 195} {
			due := frozen.Add(time.Duration(minutes) * time.Minute)
			b := p.blocked(q)
			if !b.NextProbe.Equal(due) || b.RetryAfter() != time.Until(due) {
				t.Fatalf("before probe %d: the next at %s, retry after %s; want %d min", i, b.NextProbe.Sub(frozen), b.RetryAfter(), minutes)
			}
			time.Sleep(time.Until(due) - 1)
			p.blocked(q)
			time.Sleep(time.Nanosecond)
			if out := p.report(p.probe(q, "a001"), spentFor(week)); out.Effect != events.EffectKept && out.Effect != events.EffectExtended {
				t.Fatalf("probe %d: %s", i, out.Effect)
			}
		}
	})
}

// TestRule23BackgroundSchedule: while others can serve, only what cools for over two
// hours is probed, first after an hour, then after twice as long, at most twelve hours.
func TestRule23BackgroundSchedule(t *testing.T) {
	bubble(t, setup{accounts: accounts(3, nil), probes: asShipped()}, func(t *testing.T, p *pool) {
		q := Request{Model: opus}
		frozen := time.Now()
		p.report(p.lease(q), spentFor(week))
		p.cool("a002", opus, 7200-31) // with jitter at most two hours: never probed beside others
		for i, hours := range []int{1, 3, 7, 15, 27, 39} {
			due := frozen.Add(time.Duration(hours) * time.Hour)
			time.Sleep(time.Until(due) - 1)
			synctest.Wait()
			if l := p.lease(q); l.Probe != 0 {
				t.Fatalf("probe %d goes out before %d h", i, hours)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			l := p.probe(q, "a001")
			if other := p.lease(q); other.Probe != 0 || other.Account == "a001" {
				t.Fatalf("probe %d: the next request is %#v", i, other)
			}
			p.report(l, spentFor(week))
		}
	})
}

func TestRule23Modes(t *testing.T) {
	for mode, want := range map[string][2]bool{ // while nobody else, while somebody else can serve
		projection.ProbeOff: {}, projection.ProbeWhenEmpty: {true, false}, projection.ProbeAlways: {true, true},
	} {
		for beside, account := range map[bool]string{false: "a001", true: "a002"} {
			p := newPool(t, setup{accounts: accounts(2, nil), probes: &projection.ProbeConfig{Mode: &mode}})
			q := Request{Model: opus}
			p.cool("a001", opus, week.Seconds())
			p.cool("a002", opus, week.Seconds())
			if beside {
				p.do(&projection.Clear{Filter: projection.Filter{Account: "a001", Target: "claude"}})
			}
			p.tick(2 * time.Hour)
			l, err := p.Pick(Request{Provider: provider, Model: q.Model})
			due := want[0]
			if beside {
				due = want[1]
			}
			if (l.Probe != 0) != due || beside && err != nil {
				t.Errorf("%s beside another %t: probe of %s %t, %v; want %t", mode, beside, account, l.Probe != 0, err, due)
			}
			p.Release(l)
			p.tick(time.Minute)
			p.do(&projection.Recheck{Filter: projection.Filter{Account: "a002", Target: "claude"}}) // whatever the mode
			if l := p.lease(q); l.Probe == 0 {
				t.Errorf("%s: no probe after a recheck", mode)
			}
		}
	}
}

func TestRule23HoldsAndSuspensionsAreNeverProbed(t *testing.T) {
	for name, block := range states() {
		p := newPool(t, setup{accounts: accounts(1, nil), probes: asShipped()})
		block(p, "a001")
		p.tick(90 * time.Minute)
		if name == "timed" { // it is over
			continue
		}
		l, err := p.Pick(Request{Provider: provider, Model: opus})
		// What cools may be probed once nothing else blocks it.
		if want := name == "cooling" || name == "cooling and timed"; (l.Probe != 0) != want {
			t.Errorf("%s: probe %t, %v; want %t", name, l.Probe != 0, err, want)
		}
	}
}

// TestRule23ClaimIsFreed: by its report, by its release, or after two minutes; and then
// not before the spacing.
func TestRule23ClaimIsFreed(t *testing.T) {
	tests := map[string]struct {
		do   func(p *pool, l Lease)
		free time.Duration // after the probe went out
	}{
		"reported":      {func(p *pool, l Lease) { p.report(l, signal.Observation{Status: 500}) }, 30 * time.Second},
		"released":      {func(p *pool, l Lease) { p.Release(l) }, 30 * time.Second},
		"never":         {func(*pool, Lease) {}, 2 * time.Minute},
		"another lease": {func(p *pool, l Lease) { l.Probe++; p.Release(l) }, 2 * time.Minute},
		"by its text": {func(p *pool, l Lease) {
			back, err := ParseLease(l.String())
			if err != nil {
				p.Fatal(err)
			}
			back.Account, back.Provider, back.Model = l.Account, l.Provider, l.Model
			p.Release(back)
		}, 30 * time.Second},
		"late": {func(p *pool, l Lease) {
			time.Sleep(time.Minute)
			p.Release(l)
		}, time.Minute},
		// The answer is of the model that the provider was asked for really.
		"of another model": {func(p *pool, l Lease) { p.report(l, signal.Observation{Status: 500, Model: flash}) }, 30 * time.Second},
		"other groups": {func(p *pool, l Lease) {
			p.do(&projection.DefineGroups{Config: projection.GroupsConfig{Groups: []projection.GroupConfig{{ID: "claude", Enabled: new(false)}}}})
			p.Release(l)
			p.do(&projection.DefineGroups{})
		}, 30 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, setup{accounts: accounts(2, nil), probes: asShipped()}, func(t *testing.T, p *pool) {
				q := Request{Model: opus}
				p.cool("a001", opus, 3*3600)
				p.cool("a002", opus, 6*3600)
				time.Sleep(5 * time.Minute)
				began := time.Now()
				test.do(p, p.probe(q, "a001"))
				if wait := time.Until(began.Add(test.free)); wait > 0 {
					if at := p.blocked(q).NextProbe; !at.Equal(began.Add(test.free)) {
						t.Errorf("the next probe is to go out after %s, want %s", at.Sub(began), test.free)
					}
					time.Sleep(wait - 1)
					p.blocked(q)
					time.Sleep(time.Nanosecond)
				}
				p.probe(q, "a002") // the one not tried yet
			})
		})
	}
}

// TestRule23SiblingsOfASuccess: a success recovers its cell and makes the others of the
// pool due at once, one at a time, those not asked yet first; a failure keeps its own
// until the next success.
func TestRule23SiblingsOfASuccess(t *testing.T) {
	bubble(t, setup{accounts: accounts(4, nil), probes: asShipped()}, func(t *testing.T, p *pool) {
		q := Request{Model: opus}
		for i := 1; i <= 4; i++ {
			p.cool(fmt.Sprintf("a%03d", i), opus, float64(i)*86400)
		}
		time.Sleep(5 * time.Minute)
		p.cool("a004", flash, 86400) // another group of the account is no sibling
		if out := p.report(p.probe(q, "a001"), signal.Observation{Status: 200}); out.Effect != events.EffectRecovered {
			t.Fatalf("the probe that was served: %s", out.Effect)
		}
		p.wants(p.round(2, q), "a001", "a001") // the spacing holds
		time.Sleep(30 * time.Second)
		p.report(p.probe(q, "a002"), spentFor(week))
		time.Sleep(30 * time.Second)
		l := p.probe(q, "a003")
		p.wants(p.round(2, q), "a001", "a001")
		p.report(l, signal.Observation{Status: 200})
		time.Sleep(30 * time.Second)
		p.report(p.probe(q, "a004"), spentFor(week))
		time.Sleep(30 * time.Second)
		p.report(p.probe(q, "a002"), spentFor(week)) // it failed before the last success
		time.Sleep(30 * time.Second)
		if l := p.lease(q); l.Probe != 0 {
			t.Errorf("%s is probed although it failed since", l.Account)
		}
		p.wants(p.round(1, Request{Model: flash, Candidates: []string{"a004"}}), "all_cooling")
	})
}

// TestRule23AProbeAnswersARecheck: what an operator asked for is done by one probe,
// whether it found the quota back or not; an answer to a request from before is none.
func TestRule23AProbeAnswersARecheck(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)}) // the mode is off
	p.cool("a001", opus, week.Seconds())
	before := p.lease(Request{Model: opus})
	p.suspend("a002", "*", 0)
	p.do(&projection.Recheck{Filter: projection.Filter{Account: "a001", Target: "claude"}})
	before.Account = "a001"
	p.report(before, spent()) // kept: it ends earlier
	p.report(p.probe(Request{Model: opus}, "a001"), spent())
	p.tick(time.Minute)
	if b := p.blocked(Request{Model: opus}); !b.NextProbe.IsZero() {
		t.Errorf("another probe is to go out at %s", b.NextProbe)
	}
}

// TestRule23WhileTheIndexIsNotExact: in the moment between a deadline and the next
// index a probe that is due goes out all the same, and nobody is told to ask again at
// once for nothing.
func TestRule23WhileTheIndexIsNotExact(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil), probes: asShipped()})
	p.cool("a001", opus, 86400)
	p.cool("a002", opus, week.Seconds())
	p.cool("a002", flash, 120)
	p.tick(6 * time.Minute) // the engine's timer does not know
	if p.engine.View().Index.Exact(p.now()) {
		t.Fatal("the index is exact: the test shows nothing")
	}
	p.probe(Request{Model: opus}, "a001")
	if at := p.blocked(Request{Model: opus}).NextProbe; !at.Equal(p.now().Add(2 * time.Minute)) {
		t.Errorf("the next probe is to go out at %s, want after the claim", at)
	}
}

// TestRule23NobodyIsWhoMayNotServe: where those that could serve are excluded, nobody
// can, and the schedule is that of an empty pool.
func TestRule23NobodyIsWhoMayNotServe(t *testing.T) {
	config := asShipped() // sooner beside others than alone, so that the schedules can be told apart
	config.Background = []projection.Duration{projection.Duration(time.Minute), projection.Duration(time.Minute)}
	p := newPool(t, setup{accounts: accounts(3, nil), probes: config})
	p.cool("a001", opus, 86400)
	p.tick(2 * time.Minute)
	others := Request{Model: opus, Exclude: []string{"a002", "a003"}}
	if b := p.blocked(others); !b.NextProbe.Equal(noon().Add(5 * time.Minute)) {
		t.Errorf("the next probe is to go out at %s, want 5 min", b.NextProbe.Sub(noon()))
	}
	p.probe(Request{Model: opus, Exclude: []string{"a002"}}, "a001")
}

// TestRule23ALeaseFromBeforeARestart: what a probe of the process before finds counts
// as evidence, but frees no claim of this one.
func TestRule23ALeaseFromBeforeARestart(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil), probes: asShipped()})
	q := Request{Model: opus}
	p.cool("a001", opus, 86400)
	p.cool("a002", opus, week.Seconds())
	p.tick(5 * time.Minute)
	old := p.probe(q, "a001")
	p.engine.Close()
	e, err := projection.Open(t.Context(), p.log, &projection.Options{Now: p.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	p.engine, p.Router = e, New(e, nil)
	p.do(&projection.PatchAccount{ID: "a001", Disabled: new(true)})
	now := p.probe(q, "a002")
	if now.Probe != old.Probe {
		t.Fatalf("probes %d and %d: the test shows nothing", old.Probe, now.Probe)
	}
	if out := p.report(old, spentFor(week)); out.Effect != events.EffectExtended {
		t.Errorf("the answer of the old lease: %s", out.Effect)
	}
	p.tick(30 * time.Second)
	p.blocked(q) // the claim is out still
	p.Release(now)
	p.probe(q, "a002")
	if c := p.engine.State().Account("a001").Cell("claude").Cooling; c.Probes != 1 {
		t.Errorf("%d failed probes of a001, want the old lease's", c.Probes)
	}
}

// TestRule31EachCandidateCountsOnce, and has one reason, however often it is named.
func TestRule31EachCandidateCountsOnce(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	p.cool("a001", opus, 600)
	p.suspend("a002", "*", 0)
	b := p.blocked(Request{Model: opus, Candidates: []string{"a001", "a002", "a001", "a002", "a001"}})
	if want := (Counts{Suspended: 1, Cooling: 1}); b.Counts != want {
		t.Errorf("counts %+v, want %+v", b.Counts, want)
	}
	if n := len(slices.Collect(b.Reasons())); n != 2 {
		t.Errorf("%d reasons, want 2", n)
	}
}

// TestRule31NoProbeAfterTheEnd: a probe that would come later than the first account's
// own return is not one to wait for.
func TestRule31NoProbeAfterTheEnd(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil), probes: asShipped()})
	p.cool("a001", opus, 86400)
	p.cool("a002", opus, 200)
	b := p.blocked(Request{Model: opus})
	if !b.NextProbe.IsZero() || b.EarliestEnd.IsZero() {
		t.Errorf("the next probe is at %s, after the end at %s", b.NextProbe, b.EarliestEnd)
	}
}
