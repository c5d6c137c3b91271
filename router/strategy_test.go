package router

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// blockings are ways to block some of 100 accounts.
func blockings() map[string]func(i int) bool {
	return map[string]func(i int) bool{
		"none":      func(int) bool { return false },
		"one run":   func(i int) bool { return i > 20 && i <= 70 },
		"scattered": func(i int) bool { return i*37%100 < 50 },
	}
}

// weights are those of a pool of 100: every one from 1 to 16, without a pattern.
func weights(i int, s *events.AccountSpec) { s.Weight = 1 + i*7%16 }

func ids(list []projection.PutAccount) (names []string) {
	for _, a := range list {
		names = append(names, a.ID)
	}
	return names
}

// TestRule30WeightedSharesAreExact: over whole turns each usable account is served as
// often as its weight says, from a pool and among candidates.
func TestRule30WeightedSharesAreExact(t *testing.T) {
	const n, turns = 100, 5
	for name, blocked := range blockings() {
		for named, candidates := range map[bool][]string{false: nil, true: ids(accounts(n, nil))} {
			p := newPool(t, setup{accounts: accounts(n, weights)})
			want, total := map[string]int{}, 0
			for i, a := range accounts(n, weights) {
				if blocked(i + 1) {
					p.cool(a.ID, opus, 600)
				} else {
					want[a.ID] = turns * a.Spec.Weight
					total += a.Spec.Weight
				}
			}
			got := map[string]int{}
			for range turns * total {
				got[p.served(Request{Model: opus, Strategy: Weighted, Candidates: candidates})]++
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s blocked, candidates %t: served %v, want %v", name, named, got, want)
			}
		}
	}
}

// TestRule30WeightedTurnsAreSpread: between two turns of an account of weight w, of W in
// all, there are never many more than W/w others.
func TestRule30WeightedTurnsAreSpread(t *testing.T) {
	const n = 100
	p := newPool(t, setup{accounts: accounts(n, weights)})
	total := 0
	weight, last, gap := map[string]int{}, map[string]int{}, map[string]int{}
	for _, a := range accounts(n, weights) {
		total += a.Spec.Weight
		weight[a.ID] = a.Spec.Weight
	}
	for k := range 3 * total {
		id := p.served(Request{Model: opus, Strategy: Weighted})
		if at, seen := last[id]; seen {
			gap[id] = max(gap[id], k-at)
		}
		last[id] = k
	}
	worst := 0.0
	for id, g := range gap {
		worst = max(worst, float64(g)*float64(weight[id])/float64(total))
	}
	t.Logf("the largest gap is %.2f times the even one", worst)
	if worst >= 2 || len(gap) != n {
		t.Errorf("the largest gap of %d accounts is %.2f times the even one, want under 2", len(gap), worst)
	}
}

// TestRule30TurnsOutliveThePool: the turn goes on after the account served last, whoever
// comes and goes, and also if nobody was served in between.
func TestRule30TurnsOutliveThePool(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(6, nil)})
	q := Request{Model: opus}
	add := func(id string) { p.do(&projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: provider}}) }
	p.wants(p.round(3, q), "a001", "a002", "a003")
	add("a0031")
	add("a000")
	p.wants(p.round(1, q), "a0031")
	p.do(&projection.RemoveAccount{ID: "a0031"})
	p.wants(p.round(2, q), "a004", "a005")
	p.do(&projection.RemoveAccount{ID: "a005"})
	p.wants(p.round(1, Request{Model: opus, DryRun: true}), "a006")
	add("a0041") // before the one served last
	p.wants(p.round(2, q), "a006", "a000")
	p.change(&projection.PatchAccount{ID: "a000", Priority: new(-1)})
	p.wants(p.round(1, Request{Model: opus, DryRun: true}), "a001")
	add("a0001")
	p.wants(p.round(3, q), "a0001", "a001", "a002")
}

// TestRule21WouldBlockIsTheStatusShown: a hold under a timed suspension is what to act
// on, in observe-only answers as in others.
func TestRule21WouldBlockIsTheStatusShown(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil), observe: true})
	states()["timed and held"](p, "a001")
	if l := p.lease(Request{Model: opus}); l.WouldBlock != projection.StatusHeld {
		t.Errorf("would be %s, want held", l.WouldBlock)
	}
}

// bindings are which account serves each of n sessions.
func (p *pool) bindings(n int) []string {
	p.Helper()
	list := make([]string, n)
	for i := range n {
		list[i] = p.served(Request{Model: opus, Strategy: Sticky, Session: fmt.Sprint("session ", i)})
	}
	return list
}

// TestRule30StickyShares: sessions spread evenly over the accounts, as far as chance
// goes.
func TestRule30StickyShares(t *testing.T) {
	const n, sessions = 40, 20_000
	p := newPool(t, setup{accounts: accounts(n, nil)})
	share := map[string]int{}
	for _, id := range p.bindings(sessions) {
		share[id]++
	}
	mean := float64(sessions) / n
	squares := 0.0
	for _, a := range accounts(n, nil) {
		squares += math.Pow(float64(share[a.ID])-mean, 2) / mean
	}
	// Chi-squared with 39 degrees of freedom is over 80 in one of 10 000 tries; the
	// sessions are the same at each run.
	t.Logf("chi-squared %.1f of %d", squares, n-1)
	if squares > 80 {
		t.Errorf("chi-squared is %.1f: shares %v", squares, share)
	}
}

// TestRule30StickyMovesOnlyTheBlocked: the sessions of a blocked account move, spread
// over all others, and come back; no other session moves.
func TestRule30StickyMovesOnlyTheBlocked(t *testing.T) {
	const n, sessions = 20, 4000
	p := newPool(t, setup{accounts: accounts(n, nil)})
	before := p.bindings(sessions)
	p.cool("a007", opus, 600)
	refuges := map[string]int{}
	for i, id := range p.bindings(sessions) {
		switch {
		case id == "a007":
			t.Fatal("a blocked account serves")
		case before[i] == "a007":
			refuges[id]++
		case id != before[i]:
			t.Fatalf("session %d moved from %s to %s", i, before[i], id)
		}
	}
	if len(refuges) != n-1 {
		t.Errorf("the sessions moved to %v, want some to each of %d", refuges, n-1)
	}
	p.tick(time.Hour)
	if !slices.Equal(p.bindings(sessions), before) {
		t.Error("not all sessions came back")
	}
	// An account that comes takes its share of each, and nothing else moves.
	p.do(&projection.PutAccount{ID: "b001", Spec: events.AccountSpec{Provider: provider}})
	moved := 0
	for i, id := range p.bindings(sessions) {
		if id != before[i] && id != "b001" {
			t.Fatalf("session %d moved from %s to %s", i, before[i], id)
		} else if id != before[i] {
			moved++
		}
	}
	if share := float64(moved) / sessions; share < 0.03 || share > 0.065 {
		t.Errorf("%.1f %% of the sessions moved to the new one of %d, want about %.1f %%", 100*share, n+1, 100.0/(n+1))
	}
}

// TestRule30StickyWithoutASession is round-robin.
func TestRule30StickyWithoutASession(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(3, nil)})
	p.wants(p.round(4, Request{Model: opus, Strategy: Sticky}), "a001", "a002", "a003", "a001")
}

// TestRule30FillFirst: the first usable by id serves all, of the highest priority that
// has one.
func TestRule30FillFirst(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(4, func(i int, s *events.AccountSpec) { s.Priority = i / 3 })})
	q := Request{Model: opus, Strategy: FillFirst}
	p.wants(p.round(2, q), "a003", "a003")
	p.cool("a003", opus, 600)
	p.wants(p.round(2, q), "a004", "a004")
	p.cool("a004", opus, 3600)
	p.wants(p.round(2, q), "a001", "a001")
	p.tick(time.Hour / 2)
	p.wants(p.round(2, q), "a003", "a003")
}

// TestRule30StrategyOfTheProvider: the request's strategy comes before the provider's,
// and that before the default.
func TestRule30StrategyOfTheProvider(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(3, nil)})
	p.do(&projection.PutAccount{ID: "g1", Spec: events.AccountSpec{Provider: "gemini"}})
	p.do(&projection.PutAccount{ID: "g2", Spec: events.AccountSpec{Provider: "gemini"}})
	p.Router = New(p.engine, &Options{Strategies: Strategies{Default: FillFirst, Providers: map[string]Strategy{"Gemini": RoundRobin}}})
	p.wants(p.round(2, Request{Model: opus}), "a001", "a001")
	p.wants(p.round(2, Request{Model: opus, Strategy: RoundRobin}), "a001", "a002")
	for _, want := range []string{"g1", "g2", "g1"} {
		if l, err := p.Pick(Request{Provider: "gemini-api", Model: pro}); err != nil || l.Account != want {
			t.Errorf("served %s, %v; want %s", l.Account, err, want)
		}
	}
	if _, err := p.Pick(Request{Provider: provider, Model: opus, Strategy: "fastest"}); err == nil {
		t.Error("a strategy that is none is taken")
	}
}

// TestMalformedHoweverItIsPicked: a request is refused whether or not its pick would be a
// simple one.
func TestMalformedHoweverItIsPicked(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	p.wants(p.round(1, Request{Model: opus}), "a001")
	for _, q := range []Request{{Model: opus, Session: strings.Repeat("s", events.MaxID+1)}, {Model: opus, Strategy: "fastest"}, {Model: ""}} {
		q.Provider = provider
		for _, q.Now = range []time.Time{{}, p.now()} {
			if l, err := p.Pick(q); !errors.Is(err, ErrRequest) {
				t.Errorf("%+v is answered %#v, %v", q, l, err)
			}
		}
	}
}
