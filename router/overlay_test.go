package router

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
	"github.com/abeyance/abeyance/router/signal"
)

// broken runs a test in a bubble, on a log whose next append fails.
func broken(t *testing.T, s setup, f func(t *testing.T, p *pool)) {
	t.Helper()
	disk := new(faulty)
	s.disk = func(l *eventstest.Log) events.Log {
		disk.Log = l
		return disk
	}
	bubble(t, s, func(t *testing.T, p *pool) {
		disk.breaks(errors.New("input/output error"))
		f(t, p)
	})
}

// lost reports what cannot be recorded.
func (p *pool) lost(l Lease, o signal.Observation) Outcome {
	p.Helper()
	out, err := p.Report(p.Context(), l, o)
	if err == nil {
		p.Fatalf("reported although the log is broken: %+v", out)
	}
	return out
}

// TestRule05OverlayBlocksWhatCannotBeRecorded, for as long as it is to be, but at most
// five minutes: marked as known here alone, and never in history.
func TestRule05OverlayBlocksWhatCannotBeRecorded(t *testing.T) {
	for name, test := range map[string]struct {
		answer   signal.Observation
		least    time.Duration
		most     time.Duration
		target   string
		siblings bool // they stay usable
	}{
		"a week":   {spentFor(week), 5 * time.Minute, 5 * time.Minute, "claude", false},
		"a minute": {spentFor(time.Minute), time.Minute, 90 * time.Second, "claude", false},
		"a shortage": {
			signal.Observation{Status: 503, Body: []byte(`{"error": {"code": 503, "message": "No capacity available", "status": "UNAVAILABLE"}}`)},
			5 * time.Second, 6 * time.Second, "model:" + opus, true,
		},
		"a ban": {
			signal.Observation{Status: 403, Body: []byte(`{"error": {"code": 403, "message": "Gemini has been disabled in this account for violation of Terms of Service.", "status": "PERMISSION_DENIED"}}`)},
			5 * time.Minute, 5 * time.Minute, "*", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken(t, setup{accounts: accounts(2, nil)}, func(t *testing.T, p *pool) {
				head := p.engine.State().Head()
				began := time.Now()
				out := p.lost(p.lease(Request{Model: opus}), test.answer)
				length := out.Until.Sub(began)
				if !out.Volatile || out.Target != test.target || length < test.least || length > test.most {
					t.Errorf("%s for %s, volatile %t; want %s for %s to %s", out.Target, length, out.Volatile, test.target, test.least, test.most)
				}
				if got := p.lease(Request{Model: opus}); got.Account != "a002" || !got.Degraded {
					t.Errorf("picked %#v", got)
				}
				alone := []string{"a001"}
				if got := p.served(Request{Model: sonnet, Candidates: alone}); (got == "a001") != test.siblings {
					t.Errorf("for the sibling model: %s", got)
				}
				b := p.blocked(Request{Model: opus, Exclude: []string{"a002"}})
				want := []Reason{
					{Account: "a001", Target: test.target, Status: "cooling", Until: out.Until, Volatile: true}, {Account: "a002", Status: "excluded"},
				}
				if got := slices.Collect(b.Reasons()); !slices.Equal(got, want) || b.Code != BlockCooling || b.Counts != (Counts{Excluded: 1, Cooling: 1}) {
					t.Errorf("%s %+v for %+v, want %+v", b.Code, b.Counts, got, want)
				}
				if b.RetryAfter() < length || b.RetryAfter() > length+time.Second || !b.NextProbe.IsZero() {
					t.Errorf("retry after %s, next probe %s", b.RetryAfter(), b.NextProbe)
				}
				time.Sleep(length - 1)
				p.blocked(Request{Model: opus, Candidates: alone})
				time.Sleep(time.Nanosecond)
				p.wants(p.round(1, Request{Model: opus, Candidates: alone}), "a001")
				if now, err := p.log.Head(t.Context()); err != nil || now != head || p.engine.State().Head() != head {
					t.Errorf("the log went on to %d, %v", now.Seq, err)
				}
			})
		})
	}
}

// TestRule05OverlayIsLifted by a served request that was sent after the limit, and by
// no other.
func TestRule05OverlayIsLifted(t *testing.T) {
	for name, test := range map[string]struct {
		served signal.Observation // sent a minute after the limit, unless it says otherwise
		lifts  bool
	}{
		"after":           {signal.Observation{Status: 200}, true},
		"another model":   {signal.Observation{Status: 200, Model: sonnet}, true},
		"another group":   {signal.Observation{Status: 200, Model: flash}, false},
		"counting tokens": {signal.Observation{Status: 200, Operation: events.OpCountTokens}, false},
		"before":          {signal.Observation{Status: 200, StartedAt: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			broken(t, setup{accounts: accounts(1, nil)}, func(t *testing.T, p *pool) {
				l := p.lease(Request{Model: opus})
				p.lost(l, spentFor(week))
				time.Sleep(time.Minute)
				if test.served.StartedAt.IsZero() {
					test.served.StartedAt = time.Now()
				}
				if _, err := p.Report(t.Context(), l, test.served); err != nil {
					t.Errorf("a success that records nothing: %v", err)
				}
				if got := p.served(Request{Model: opus}); (got == "a001") != test.lifts {
					t.Errorf("served %s", got)
				}
			})
		})
	}
}

// TestRule05OverlayKeepsTheLatestEvidence: a second limit is not lifted by what was sent
// between the two, and shortens nothing.
func TestRule05OverlayKeepsTheLatestEvidence(t *testing.T) {
	broken(t, setup{accounts: accounts(1, nil)}, func(t *testing.T, p *pool) {
		l := p.lease(Request{Model: opus})
		first := p.lost(l, spentFor(week))
		time.Sleep(time.Minute)
		between := time.Now()
		time.Sleep(time.Minute)
		p.lost(l, spentFor(time.Minute))
		if _, err := p.Report(t.Context(), l, signal.Observation{Status: 200, StartedAt: between}); err != nil {
			t.Fatal(err)
		}
		if b := p.blocked(Request{Model: opus}); !b.EarliestEnd.Equal(first.Until) {
			t.Errorf("it ends at %s, want %s", b.EarliestEnd, first.Until)
		}
	})
}

// TestRule05OverlayBesideTheState: the block that lasts longest is the one that is
// shown, and what has no end lasts longest.
func TestRule05OverlayBesideTheState(t *testing.T) {
	want := map[string]struct {
		status   string
		volatile bool
	}{
		"disabled": {"disabled", false}, "suspended": {"suspended", false}, "timed": {"suspended", false}, "held": {"held", false},
		"cooling": {"cooling", false}, "cooling and held": {"held", false}, "cooling and suspended": {"suspended", false},
		"cooling and timed": {"suspended", false}, "timed and held": {"held", false}, "suspended and held": {"suspended", false},
		"a minute": {"cooling", true}, "nothing": {"cooling", true},
	}
	blocks := states()
	blocks["a minute"] = func(p *pool, id string) { p.suspend(id, "*", time.Minute) }
	blocks["nothing"] = func(*pool, string) {}
	for name, block := range blocks {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, setup{accounts: accounts(1, nil)})
			l := p.lease(Request{Model: flash})
			block(p, "a001")
			p.overlay.block(events.Cell{Account: l.Account, Target: "claude"}, volatileBlock{p.now(), p.now().Add(5 * time.Minute)})
			b := p.blocked(Request{Model: opus})
			for r := range b.Reasons() {
				if r.Status != want[name].status || r.Volatile != want[name].volatile || r.Volatile && r.Target != "claude" {
					t.Errorf("reason %+v, want %+v", r, want[name])
				}
				counts := map[string]int{"disabled": b.Counts.Disabled, "suspended": b.Counts.Suspended, "held": b.Counts.Held, "cooling": b.Counts.Cooling}
				if counts[r.Status] != 1 {
					t.Errorf("counts %+v for %s", b.Counts, r.Status)
				}
			}
		})
	}
}

// TestRule05OverlayAtOtherInstants: a pick that asks about another instant is answered
// by it, and changes nothing for the others.
func TestRule05OverlayAtOtherInstants(t *testing.T) {
	broken(t, setup{accounts: accounts(1, nil)}, func(t *testing.T, p *pool) {
		out := p.lost(p.lease(Request{Model: opus}), spentFor(week))
		p.wants(p.round(1, Request{Model: opus, Now: out.Until}), "a001")
		p.wants(p.round(1, Request{Model: opus, Now: out.Until.Add(-1)}), "all_cooling")
		p.wants(p.round(1, Request{Model: opus}), "all_cooling")
	})
}

// TestRule05OverlayOfUnknownAccounts: also one whose id has an address.
func TestRule05OverlayOfUnknownAccounts(t *testing.T) {
	broken(t, setup{accounts: accounts(1, nil), ids: identity.New()}, func(t *testing.T, p *pool) {
		for _, id := range []string{"stranger", "bob@example.com"} {
			q := Request{Model: opus, Candidates: []string{id}}
			p.lost(p.lease(q), spentFor(week))
			p.wants(p.round(1, q), "all_cooling")
		}
	})
}

// TestRule05OverlayIsBounded: of more cells than it holds the one that ends first makes
// room, and what is over is forgotten.
func TestRule05OverlayIsBounded(t *testing.T) {
	broken(t, setup{accounts: accounts(1, nil)}, func(t *testing.T, p *pool) {
		p.lost(p.lease(Request{Model: opus}), spentFor(time.Minute))
		p.overlay.change(func(cells map[events.Cell]volatileBlock) {
			for i := len(cells); i < maxVolatile; i++ {
				cells[events.Cell{Account: fmt.Sprint("x", i), Target: "*"}] = volatileBlock{time.Now(), time.Now().Add(4 * time.Minute)}
			}
		})
		p.wants(p.round(1, Request{Model: opus}), "all_cooling")
		p.lost(Lease{Account: "last", Provider: provider, Model: opus}, spentFor(week))
		if n := len(p.overlay.blocks.Load().cells); n != maxVolatile {
			t.Errorf("%d cells are remembered, want %d", n, maxVolatile)
		}
		p.wants(p.round(1, Request{Model: opus}), "a001")
		p.wants(p.round(1, Request{Model: opus, Candidates: []string{"last"}}), "all_cooling")
		time.Sleep(5 * time.Minute)
		p.round(1, Request{Model: opus})
		if !p.overlay.empty() {
			t.Error("what is over is remembered")
		}
	})
}

// TestRule06OverlaysAreNotShared: what one router could not record is not known to
// another.
func TestRule06OverlaysAreNotShared(t *testing.T) {
	broken(t, setup{accounts: accounts(1, nil)}, func(t *testing.T, p *pool) {
		other := New(p.engine, nil)
		p.lost(p.lease(Request{Model: opus}), spentFor(week))
		p.wants(p.round(1, Request{Model: opus}), "all_cooling")
		if l, err := other.Pick(Request{Provider: provider, Model: opus}); err != nil || l.Account != "a001" {
			t.Errorf("the other router: %#v, %v", l, err)
		}
		if _, err := p.As(events.Origin{Actor: "proxy:x"}).Pick(Request{Provider: provider, Model: opus}); err == nil {
			t.Error("the same router under another origin does not know it")
		}
	})
}

// TestRule05PickWaitWhileDegraded: those that wait see a limit of the overlay end, and
// the deadlines that were recorded before.
func TestRule05PickWaitWhileDegraded(t *testing.T) {
	disk := new(faulty)
	bubble(t, setup{accounts: accounts(2, nil), probes: asShipped(), disk: func(l *eventstest.Log) events.Log {
		disk.Log = l
		return disk
	}}, func(t *testing.T, p *pool) {
		p.cool("a002", opus, 1200)
		end := p.engine.State().Account("a002").Cell("claude").Cooling.Until
		disk.breaks(errors.New("input/output error"))
		out := p.lost(p.lease(Request{Model: opus}), spentFor(week))
		if w := <-p.waits(t.Context(), Request{Model: opus}); w.err != nil || !w.at.Equal(out.Until) || w.lease.Account != "a001" {
			t.Errorf("%#v, %v at %s; want it at %s", w.lease, w.err, w.at, out.Until)
		}
		only := Request{Model: opus, Candidates: []string{"a002"}}
		w := <-p.waits(t.Context(), only) // without a probe: what it found could not be recorded
		if w.err != nil || !w.at.Equal(end) || w.lease.Probe != 0 {
			t.Errorf("%#v, %v at %s; want it at %s", w.lease, w.err, w.at, end)
		}
		synctest.Wait()
		if v := p.engine.View(); !v.Degraded || !v.Index.Exact(time.Now()) {
			t.Errorf("degraded %t, exact %t", v.Degraded, v.Index.Exact(time.Now()))
		}
	})
}

// TestRule21ObserveOnlyWhileDegraded: nothing is ever blocked, by the overlay neither.
func TestRule21ObserveOnlyWhileDegraded(t *testing.T) {
	broken(t, setup{accounts: accounts(1, nil), observe: true}, func(t *testing.T, p *pool) {
		p.lost(p.lease(Request{Model: opus}), spentFor(week))
		if l := p.lease(Request{Model: opus}); l.Account != "a001" || l.WouldBlock != projection.StatusCooling {
			t.Errorf("picked %#v", l)
		}
	})
}
