package router

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// TestRule29NobodyBlockedWhilePoolsChange: with several pickers of every strategy beside
// writers that freeze, free, add and remove accounts and redefine groups, no lease is of
// an account that was blocked in the very state that the lease names.
func TestRule29NobodyBlockedWhilePoolsChange(t *testing.T) {
	const n, changes = 150, 250
	p := newPool(t, setup{accounts: accounts(n, weights), probes: asShipped()})
	var picking, changing sync.WaitGroup
	stop := make(chan struct{})
	leases := make([][]dated, 2)
	for k := range leases {
		picking.Go(func() { leases[k] = p.pickUntil(stop, k) })
	}
	for k := range 2 {
		changing.Go(func() { p.shuffle(k, n, changes) })
	}
	changing.Wait()
	close(stop)
	picking.Wait()
	all := slices.Concat(leases...)
	slices.SortFunc(all, func(a, b dated) int { return cmp.Compare(a.Seq, b.Seq) })
	checked, probes := p.replay(all)
	t.Logf("%d leases of %d states, %d of them probes", checked, changes*2, probes)
	if checked < changes || probes == 0 {
		t.Errorf("%d leases and %d probes were checked: the test shows little", checked, probes)
	}
}

// dated is a lease and the instant it was picked at.
type dated struct {
	Lease
	now time.Time
}

// pickUntil picks in turn by each strategy.
func (p *pool) pickUntil(stop <-chan struct{}, seed int) (got []dated) {
	r := rand.New(rand.NewPCG(uint64(seed), 29))
	models := []string{opus, sonnet, flash, "tab-complete-1"}
	for {
		select {
		case <-stop:
			return got
		default:
		}
		q := Request{Provider: provider, Model: models[r.IntN(len(models))], Strategy: AllStrategies()[r.IntN(4)], Session: fmt.Sprint(r.IntN(9)), Now: p.now()}
		if r.IntN(4) == 0 {
			q.Exclude = []string{fmt.Sprintf("a%03d", 1+r.IntN(150))}
		}
		l, err := p.Pick(q)
		if err != nil {
			continue
		}
		if got = append(got, dated{l, q.Now}); l.Probe != 0 {
			p.Release(l)
		}
	}
}

// shuffle changes the pool, and moves the clock on.
func (p *pool) shuffle(seed, n, changes int) {
	r := rand.New(rand.NewPCG(uint64(seed), 92))
	for range changes {
		id := fmt.Sprintf("a%03d", 1+r.IntN(n))
		var do projection.Intent
		switch r.IntN(13) {
		case 0:
			do = &projection.RemoveAccount{ID: id, Force: true}
		case 1, 2:
			do = &projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: provider, Priority: r.IntN(2)}}
		case 3:
			do = &projection.Clear{Filter: projection.Filter{Account: id}}
		case 4:
			do = &projection.Suspend{Filter: projection.Filter{Account: id, Target: "claude"}, Reason: "x", For: time.Minute}
		case 5:
			do = &projection.DefineGroups{Config: groupSets()[r.IntN(len(groupSets()))]}
		case 6:
			do = &projection.PatchAccount{ID: id, Weight: new(1 + r.IntN(16))}
		default:
			do = &projection.Report{
				Account: id, Provider: provider, Model: []string{opus, flash, "tab-complete-1"}[r.IntN(3)], Status: 429,
				Signal: events.Signal{
					Class: events.ClassQuotaExhausted, Scope: []events.Scope{events.ScopeGroup, events.ScopeModel, events.ScopeAccount}[r.IntN(3)],
					Rule: "test", Hints: []events.Hint{{Source: "h", Seconds: []float64{60, 600, 86400}[r.IntN(3)]}},
				},
			}
		}
		// A refusal, such as of an account that is gone, is as good as a change.
		_, _ = p.engine.Execute(p.Context(), projection.Command{Origin: events.Origin{Actor: "operator:ops"}, Do: do})
		p.tick(time.Duration(r.IntN(60_000)) * time.Millisecond)
	}
}

// replay checks each lease on the state that it names, folded from the log.
func (p *pool) replay(leases []dated) (checked, probes int) {
	s := projection.NewState()
	for r, err := range p.log.Records(p.Context(), 0) {
		if err != nil {
			p.Fatal(err)
		}
		s.Apply(r)
		for ; len(leases) > 0 && leases[0].Seq == r.Seq; leases = leases[1:] {
			l := leases[0]
			id := s.Groups().Resolve(l.Provider, l.Model)
			a := s.Account(l.Account)
			if a == nil || id.Target != l.Target || a.Usable(id, l.now) == (l.Probe != 0) {
				p.Errorf("%#v at %s: account %+v", l.Lease, l.now.Sub(noon()), a)
				return checked, probes
			}
			if checked++; l.Probe != 0 {
				probes++
			}
		}
	}
	if len(leases) > 0 {
		p.Errorf("%d leases name states that are not in the log", len(leases))
	}
	return checked, probes
}
