package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router/signal"
)

// waited is what became of a pick that waits, and when.
type waited struct {
	lease Lease
	err   error
	at    time.Time
}

// waits picks in a goroutine of its own, which waits when waits returns.
func (p *pool) waits(ctx context.Context, q Request) <-chan waited {
	p.Helper()
	q.Provider = provider
	done := make(chan waited, 1)
	go func() {
		l, err := p.PickWait(ctx, q)
		done <- waited{l, err, time.Now()}
	}()
	synctest.Wait()
	select {
	case w := <-done:
		p.Fatalf("it did not wait: %#v, %v", w.lease, w.err)
	default:
	}
	return done
}

// TestPickWaitReturnsAtOnce: whatever makes something usable wakes a pick that waits, at
// that instant.
func TestPickWaitReturnsAtOnce(t *testing.T) {
	cell := projection.Filter{Account: "a001", Target: "claude"}
	groups := projection.GroupsConfig{Groups: []projection.GroupConfig{{ID: "claude", Enabled: new(false)}}}
	cool := func(p *pool) { p.cool("a001", opus, 86400) }
	tests := map[string]struct {
		block func(p *pool)
		free  func(p *pool) // nil: time does
		after time.Duration // when it is free, at least
		probe bool
	}{
		"expiry":     {func(p *pool) { p.cool("a001", opus, 600) }, nil, 10 * time.Minute, false},
		"suspension": {func(p *pool) { p.suspend("a001", "*", time.Hour) }, nil, time.Hour, false},
		"lift":       {func(p *pool) { p.suspend("a001", "*", 0) }, func(p *pool) { p.do(&projection.Lift{Filter: projection.Filter{Account: "a001"}}) }, 0, false},
		"clear":      {cool, func(p *pool) { p.do(&projection.Clear{Filter: cell}) }, 0, false},
		"recovery": {cool, func(p *pool) {
			p.report(Lease{Account: "a001", Provider: provider, Model: opus, Seq: p.engine.State().Head().Seq}, signal.Observation{Status: 200})
		}, 0, false},
		"a new account": {cool, func(p *pool) {
			p.do(&projection.PutAccount{ID: "a002", Spec: events.AccountSpec{Provider: provider}})
		}, 0, false},
		"an enabled account": {
			func(p *pool) { p.change(&projection.PatchAccount{ID: "a001", Disabled: new(true)}) },
			func(p *pool) { p.change(&projection.PatchAccount{ID: "a001", Disabled: new(false)}) }, 0, false,
		},
		"a new credential": {
			func(p *pool) { p.freeze("a001", opus, events.ClassForbidden, events.ScopeAccount, 0) },
			func(p *pool) { p.change(&projection.PatchAccount{ID: "a001", CredentialVersion: new("2")}) }, 0, false,
		},
		"other groups": {cool, func(p *pool) { p.do(&projection.DefineGroups{Config: groups}) }, 0, false},
		"a due probe":  {func(p *pool) { cool(p); p.probing(projection.ProbeAlways) }, nil, 5 * time.Minute, true},
		"a recheck":    {cool, func(p *pool) { p.do(&projection.Recheck{Filter: cell}) }, 0, true},
		"another policy": {
			func(p *pool) { cool(p); time.Sleep(6 * time.Minute) },
			func(p *pool) { p.probing(projection.ProbeWhenEmpty) }, 0, true,
		},
		"a probe once a suspension is lifted": {
			func(p *pool) {
				cool(p)
				p.probing(projection.ProbeAlways)
				p.suspend("a001", "*", 0)
				time.Sleep(6 * time.Minute)
			},
			func(p *pool) { p.do(&projection.Lift{Filter: projection.Filter{Account: "a001"}}) }, 0, true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, setup{accounts: accounts(1, nil)}, func(t *testing.T, p *pool) {
				began := time.Now()
				test.block(p)
				done := p.waits(t.Context(), Request{Model: opus})
				end := p.blocked(Request{Model: opus})
				want := end.EarliestEnd
				if test.probe {
					want = end.NextProbe
				}
				if test.free != nil {
					time.Sleep(10 * time.Second)
					test.free(p)
					want = time.Now()
				}
				w := <-done
				if w.err != nil || !w.at.Equal(want) || w.at.Sub(began) < test.after || (w.lease.Probe != 0) != test.probe {
					t.Errorf("%#v, %v after %s; want it after %s", w.lease, w.err, w.at.Sub(began), want.Sub(began))
				}
			})
		})
	}
}

// probing changes the mode of probes, at whose default pace.
func (p *pool) probing(mode string) {
	p.Helper()
	p.do(&projection.DefinePolicy{Config: projection.PolicyConfig{RulesConfig: projection.RulesConfig{Probe: &projection.ProbeConfig{Mode: &mode}}}})
}

// TestPickWaitByName: a pick that may get only some of the accounts is woken by what
// becomes of those, whatever the others do.
func TestPickWaitByName(t *testing.T) {
	bubble(t, setup{accounts: accounts(3, nil)}, func(t *testing.T, p *pool) {
		for _, id := range []string{"a001", "a002", "a003", "seen"} {
			p.cool(id, opus, 86400) // the last becomes known by it, and is in no pool
		}
		recheck := func(id string) { p.do(&projection.Recheck{Filter: projection.Filter{Account: id, Target: "claude"}}) }
		recheck("a001")
		p.probe(Request{Model: opus}, "a001") // not answered: it stays due
		time.Sleep(3 * time.Minute)
		named := p.waits(t.Context(), Request{Model: opus, Candidates: []string{"a002"}})
		others := p.waits(t.Context(), Request{Model: opus, Exclude: []string{"a001", "a002"}})
		time.Sleep(time.Second)
		recheck("a002")
		at := time.Now()
		if w := <-named; w.err != nil || !w.at.Equal(at) || w.lease.Account != "a002" || w.lease.Probe == 0 {
			t.Errorf("by name: %#v, %v after %s", w.lease, w.err, w.at.Sub(at))
		}
		time.Sleep(3*time.Minute + time.Second)
		recheck("a003")
		at = time.Now()
		if w := <-others; w.err != nil || !w.at.Equal(at) || w.lease.Account != "a003" {
			t.Errorf("by exclusion: %#v, %v after %s", w.lease, w.err, w.at.Sub(at))
		}
		seen := p.waits(t.Context(), Request{Model: opus, Candidates: []string{"seen"}})
		p.do(&projection.Clear{Filter: projection.Filter{Account: "seen", Target: "claude"}})
		if w := <-seen; w.err != nil || w.lease.Account != "seen" {
			t.Errorf("an observed account: %#v, %v", w.lease, w.err)
		}
	})
}

// TestPickWaitEndsWithItsContext, and says both why nothing was usable and why it gave
// up.
func TestPickWaitEndsWithItsContext(t *testing.T) {
	for name, block := range map[string]func(p *pool){
		"cooling": func(p *pool) { p.cool("a001", opus, 86400) },
		"held":    func(p *pool) { p.freeze("a001", opus, events.ClassForbidden, events.ScopeAccount, 0) },
		"removed": func(p *pool) { p.do(&projection.RemoveAccount{ID: "a001"}) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, setup{accounts: accounts(1, nil)}, func(t *testing.T, p *pool) {
				block(p)
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
				defer cancel()
				w := <-p.waits(ctx, Request{Model: opus})
				blocked, ok := errors.AsType[*BlockedError](w.err)
				if !ok || !errors.Is(w.err, context.DeadlineExceeded) || w.at.Sub(began) != 90*time.Second {
					t.Errorf("%v after %s", w.err, w.at.Sub(began))
				} else if now := p.blocked(Request{Model: opus}); now.Code != blocked.Code {
					t.Errorf("it says %s, and it is %s", blocked.Code, now.Code)
				}
				ctx, cancel = context.WithCancel(t.Context())
				done := p.waits(ctx, Request{Model: opus})
				cancel()
				if w := <-done; !errors.Is(w.err, context.Canceled) {
					t.Errorf("cancelled: %v", w.err)
				}
			})
		})
	}
}

func TestPickWaitDoesNotWaitForWhatIsWrong(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	if _, err := p.PickWait(t.Context(), Request{Provider: provider}); !errors.Is(err, ErrRequest) {
		t.Errorf("error %v, want ErrRequest", err)
	}
	if l, err := p.PickWait(t.Context(), Request{Provider: provider, Model: opus}); err != nil || l.Account != "a001" {
		t.Errorf("%#v, %v", l, err)
	}
}

// TestPickWaitDoesNotPoll: while nothing happens it looks at its pool no oftener than
// timers of 30 s make it, also while a probe is due that may not go out yet, at any
// pace of probes.
func TestPickWaitDoesNotPoll(t *testing.T) {
	for name, block := range map[string]func(p *pool){
		"cooling": func(p *pool) { p.cool("a001", opus, 86400) },
		"held":    func(p *pool) { p.freeze("a001", opus, events.ClassForbidden, events.ScopeAccount, 0) },
		"a probe is out": func(p *pool) {
			p.cool("a001", opus, 86400)
			p.probing(projection.ProbeAlways)
			time.Sleep(time.Hour)
			p.probe(Request{Model: opus}, "a001")
			time.Sleep(time.Minute)
		},
		"probes in quick order": func(p *pool) {
			p.cool("a001", opus, 86400)
			p.do(&projection.DefinePolicy{Config: projection.PolicyConfig{RulesConfig: projection.RulesConfig{Probe: &projection.ProbeConfig{
				Spacing: new(projection.Duration(time.Millisecond)),
			}}}})
			time.Sleep(time.Hour)
			p.probe(Request{Model: opus}, "a001")
			time.Sleep(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var looks atomic.Int64
				p := newPool(t, setup{accounts: accounts(1, nil), wall: func() time.Time {
					looks.Add(1)
					return time.Now()
				}})
				defer p.engine.Close()
				block(p)
				ctx, cancel := context.WithTimeout(t.Context(), 59*time.Second)
				defer cancel()
				before := looks.Load()
				<-p.waits(ctx, Request{Model: opus})
				// The waiter reads the clock once each time it looks; the engine's loop a few
				// times in each 30 s.
				if n := looks.Load() - before; n > 20 {
					t.Errorf("the clock was read %d times within a minute", n)
				}
			})
		})
	}
}

// TestPickWaitForAProbe: who waits while a probe is out goes on as soon as it is over and
// another may go out.
func TestPickWaitForAProbe(t *testing.T) {
	for name, test := range map[string]struct {
		over func(p *pool, l Lease)
		at   time.Duration // after the probe went out
	}{
		"released within the spacing": {func(p *pool, l Lease) { time.Sleep(10 * time.Second); p.Release(l) }, 30 * time.Second},
		"released after it":           {func(p *pool, l Lease) { time.Sleep(50 * time.Second); p.Release(l) }, 50 * time.Second},
		"never":                       {func(*pool, Lease) {}, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, setup{accounts: accounts(2, nil), probes: asShipped()}, func(t *testing.T, p *pool) {
				p.cool("a001", opus, 86400)
				p.cool("a002", opus, 2*86400)
				time.Sleep(5 * time.Minute)
				began := time.Now()
				l := p.probe(Request{Model: opus}, "a001")
				done := p.waits(t.Context(), Request{Model: opus})
				test.over(p, l)
				if w := <-done; w.err != nil || w.at.Sub(began) != test.at || w.lease.Account != "a002" || w.lease.Probe == 0 {
					t.Errorf("%#v, %v after %s; want it after %s", w.lease, w.err, w.at.Sub(began), test.at)
				}
			})
		})
	}
}

// TestPickWaitManyWaiters: one event wakes them all.
func TestPickWaitManyWaiters(t *testing.T) {
	bubble(t, setup{accounts: accounts(2, nil)}, func(t *testing.T, p *pool) {
		p.cool("a001", opus, 3600)
		p.suspend("a002", "*", 0)
		var served atomic.Int64
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				if _, err := p.PickWait(t.Context(), Request{Provider: provider, Model: opus}); err == nil {
					served.Add(1)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		time.Sleep(time.Minute)
		p.do(&projection.Lift{Filter: projection.Filter{Account: "a002"}})
		all.Wait()
		if served.Load() != 500 || time.Since(began) != time.Minute {
			t.Errorf("%d of 500 are served after %s", served.Load(), time.Since(began))
		}
	})
}

// TestRule23OneProbeInFlight: of 64 that pick at once when a probe is due, one gets it;
// of as many that wait, one goes out, and all are served once it succeeds.
func TestRule23OneProbeInFlight(t *testing.T) {
	bubble(t, setup{accounts: accounts(5, nil), probes: asShipped()}, func(t *testing.T, p *pool) {
		for i := 1; i <= 5; i++ {
			p.cool(fmt.Sprintf("a%03d", i), opus, 86400)
		}
		time.Sleep(5 * time.Minute)
		leases := make(chan Lease, 64)
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if l, err := p.Pick(Request{Provider: provider, Model: opus}); err == nil {
					leases <- l
				}
			})
		}
		all.Wait()
		if len(leases) != 1 {
			t.Fatalf("%d of 64 picks were let out, want 1", len(leases))
		}
		p.report(<-leases, spentFor(week))
		for range 64 {
			all.Go(func() {
				l, err := p.PickWait(t.Context(), Request{Provider: provider, Model: opus})
				if err != nil {
					t.Error(err)
				}
				if l.Probe != 0 {
					time.Sleep(10 * time.Second)
					p.report(l, signal.Observation{Status: 200})
				}
				leases <- l
			})
		}
		began := time.Now()
		all.Wait()
		probes := 0
		for range 64 {
			if l := <-leases; l.Probe != 0 {
				probes++
			}
		}
		if probes != 1 || time.Since(began) != 40*time.Second { // the spacing, and the probe's own time
			t.Errorf("%d of 64 were probes, all served after %s", probes, time.Since(began))
		}
	})
}
