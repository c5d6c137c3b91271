package router

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// measured returns the registry that a pool's router is registered with.
func (p *pool) measured() *prometheus.Registry {
	p.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := p.Register(reg); err != nil {
		p.Fatal(err)
	}
	return reg
}

// figures adds up a metric by the values of its labels, joined by slashes in the order
// of their names: those of picks are group/provider.
func figures(t testing.TB, from prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			got[strings.Join(values, "/")] = m.GetCounter().GetValue()
		}
	}
	return got
}

func TestMetricsCountPicks(t *testing.T) {
	plain, none := func(int, *events.AccountSpec) {}, setup{}
	weights := func(i int, s *events.AccountSpec) { s.Weight, s.Priority = i, i%2 }
	tests := map[string]struct {
		accounts func(int, *events.AccountSpec)
		q        Request
	}{
		"round-robin":           {plain, Request{Model: opus}},
		"weighted":              {weights, Request{Model: opus, Strategy: Weighted}},
		"weighted, all alike":   {plain, Request{Model: opus, Strategy: Weighted}},
		"fill-first":            {plain, Request{Model: opus, Strategy: FillFirst}},
		"sticky":                {plain, Request{Model: opus, Strategy: Sticky, Session: "s"}},
		"sticky, no session":    {plain, Request{Model: opus, Strategy: Sticky}},
		"among candidates":      {plain, Request{Model: opus, Candidates: []string{"a001", "a002"}}},
		"with exclusions":       {plain, Request{Model: opus, Exclude: []string{"a001"}}},
		"by weight, excluding":  {weights, Request{Model: opus, Strategy: Weighted, Exclude: []string{"a001"}}},
		"fill-first, excluding": {plain, Request{Model: opus, Strategy: FillFirst, Exclude: []string{"a001"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := none
			s.accounts = accounts(3, test.accounts)
			p := newPool(t, s)
			reg := p.measured()
			const pickers, each = 4, 500
			var all sync.WaitGroup
			for range pickers {
				all.Go(func() {
					for i := range each {
						q := test.q
						q.Provider = provider
						if i%2 == 0 {
							q.Now = p.now() // the quick way, where there is one
						}
						if _, err := p.Pick(q); err != nil {
							t.Error(err)
						}
						q.DryRun = true // counts nowhere
						if _, err := p.Pick(q); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			if got := figures(t, reg, "abeyance_picks_total")["claude/antigravity"]; got != pickers*each {
				t.Errorf("%v picks are counted, want %d", got, pickers*each)
			}
		})
	}
}

func TestMetricsCountBlockedPicksAndProbes(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil), probes: asShipped()})
	reg := p.measured()
	p.cool("a001", opus, week.Seconds())
	p.cool("a002", opus, week.Seconds())
	p.blocked(Request{Model: opus})
	p.blocked(Request{Model: opus, DryRun: true}) // counts nowhere
	p.suspend("a001", "gemini-flash", 0)
	p.suspend("a002", "gemini-flash", 0)
	p.blocked(Request{Model: flash})
	p.blocked(Request{Model: opus, Candidates: []string{"a001"}, Exclude: []string{"a001"}})
	p.tick(5 * time.Minute)
	if l := p.lease(Request{Model: opus, DryRun: true}); l.Probe == 0 {
		t.Fatal("no probe is due")
	}
	if l := p.lease(Request{Model: opus}); l.Probe == 0 {
		t.Fatal("no probe went out")
	}
	got := figures(t, reg, "abeyance_blocked_picks_total")
	for labels, want := range map[string]float64{
		"all_cooling/claude/antigravity": 1, "all_excluded/claude/antigravity": 1, "all_suspended/gemini-flash/antigravity": 1,
		"all_held/claude/antigravity": 0,
	} {
		if n, ok := got[labels]; !ok || n != want {
			t.Errorf("blocked picks of %s: %v, want %v", labels, n, want)
		}
	}
	if n := figures(t, reg, "abeyance_probes_sent_total")["claude/antigravity"]; n != 1 {
		t.Errorf("%v probes are counted, want 1", n)
	}
	if n := figures(t, reg, "abeyance_picks_total")["claude/antigravity"]; n != 1 {
		t.Errorf("%v picks are counted, want 1", n)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// TestMetricsOfHostileNames: what clients call their providers and models makes no more
// series than there are groups.
func TestMetricsOfHostileNames(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	reg := p.measured()
	const n = maxTurns/2 + 100 // two names each
	for i := range n {
		_, err := p.Pick(Request{Provider: fmt.Sprintf("evil\xff-%d", i), Model: "x"})
		if err == nil {
			t.Fatal("an unknown provider was served")
		}
		p.lease(Request{Model: fmt.Sprintf("unheard-of-%d", i)})
		if i == n/2 {
			figures(t, reg, "abeyance_picks_total") // a scrape between
		}
	}
	want := map[string]float64{"model:*/antigravity": 0, "other/other": 0}
	got := figures(t, reg, "abeyance_picks_total")
	total := 0.0
	for labels, n := range got {
		if _, ok := want[labels]; !ok {
			t.Errorf("a series of %s", labels)
		}
		total += n
	}
	if total != n {
		t.Errorf("%v picks are counted, want %d", total, n)
	}
	if n := figures(t, reg, "abeyance_blocked_picks_total")["no_accounts/other/other"]; n == 0 {
		t.Error("no blocked pick of an unknown provider is counted")
	}
	// A provider that becomes known takes nothing from what was counted before.
	before := figures(t, reg, "abeyance_blocked_picks_total")["no_accounts/other/other"]
	p.do(&projection.PutAccount{ID: "e1", Spec: events.AccountSpec{Provider: "evil-1"}})
	if after := figures(t, reg, "abeyance_blocked_picks_total")["no_accounts/other/other"]; after < before {
		t.Errorf("a counter went from %v to %v", before, after)
	}
}

// TestMetricsOfTwoRouters: each has its own registry; one registry takes one router.
func TestMetricsOfTwoRouters(t *testing.T) {
	a, b := newPool(t, setup{accounts: accounts(1, nil)}), newPool(t, setup{accounts: accounts(1, nil)})
	first, second := a.measured(), b.measured()
	a.lease(Request{Model: opus})
	if n := figures(t, first, "abeyance_picks_total")["claude/antigravity"]; n != 1 {
		t.Errorf("%v picks are counted, want 1", n)
	}
	if n := figures(t, second, "abeyance_picks_total")["claude/antigravity"]; n != 0 {
		t.Errorf("%v picks of the other router are counted", n)
	}
	if err := b.Register(first); err == nil {
		t.Error("a registry took two routers")
	}
}

func TestPlaceKeepsPositionAndCount(t *testing.T) {
	p := place(0)
	if p.index() != -1 || p.picks() != 0 {
		t.Errorf("the zero place is of %d after %d picks", p.index(), p.picks())
	}
	const last = 16 * projection.MaxAccounts // the slots of the largest wheel
	for i, at := range []int{0, last - 1, 5, 5} {
		if p = p.then(at); p.index() != at || p.picks() != uint64(i+1) {
			t.Errorf("place %d is of %d after %d picks", at, p.index(), p.picks())
		}
	}
	full := ^place(0) // as many as fit: the next count begins anew
	if next := full.then(7); next.index() != 7 || next.picks() != 0 {
		t.Errorf("after the last count: %d, %d", next.index(), next.picks())
	}
	if last >= 1<<placeBits-1 {
		t.Error("the positions do not fit")
	}
	for _, c := range []struct{ at, start, end, want int }{{-1, 0, 3, 0}, {0, 0, 3, 1}, {2, 0, 3, 0}, {9, 0, 3, 0}, {1, 4, 6, 4}, {4, 4, 6, 5}} {
		if got := placeAt(c.at).within(c.start, c.end); got != c.want {
			t.Errorf("after %d in [%d, %d): %d, want %d", c.at, c.start, c.end, got, c.want)
		}
	}
}
