package router

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// offers are accounts of one provider with one priority.
func offers(provider string, ids ...string) []Offered {
	var list []Offered
	for _, id := range ids {
		list = append(list, Offered{Account: id, Provider: provider})
	}
	return list
}

// chosen is what a choice came to: an account, "free" if nothing was blocked, or a code.
func (p *pool) chosen(o Offer) string {
	p.Helper()
	c, err := p.Choose(o)
	if blocked, ok := errors.AsType[*BlockedError](err); ok {
		if c.Blocked != len(o.Accounts) || c.Lease.Account != "" {
			p.Errorf("nothing usable of %d, and %+v", len(o.Accounts), c)
		}
		return string(blocked.Code)
	}
	if err != nil {
		p.Fatal(err)
	}
	if c.Blocked == 0 {
		return "free"
	}
	return c.Lease.Account
}

func (p *pool) chooses(o Offer, want ...string) {
	p.Helper()
	var got []string
	for range want {
		got = append(got, p.chosen(o))
	}
	if !slices.Equal(got, want) {
		p.Errorf("chose %v, want %v", got, want)
	}
}

// TestChooseLeavesFreeOffers: while nothing is blocked, nobody is picked, and nothing is
// learnt.
func TestChooseLeavesFreeOffers(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(3, nil)})
	o := Offer{Model: opus, Accounts: offers(provider, "a001", "a002", "new")}
	p.chooses(o, "free", "free")
	p.cool("a003", opus, 600) // not offered
	p.cool("a001", flash, 600)
	p.chooses(o, "free")
	p.cool("a001", sonnet, 600)
	p.chooses(o, "a002", "new", "a002", "new")
	if p.engine.State().Account("new") != nil {
		t.Error("a choice made an account known")
	}
	p.tick(time.Hour)
	p.chooses(o, "free")
}

// TestChooseByTheProxysPriority: what the pool says of priorities does not count.
func TestChooseByTheProxysPriority(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(4, func(i int, s *events.AccountSpec) { s.Priority = 10 - i })})
	o := Offer{Model: opus, Accounts: []Offered{
		{"a001", provider, -1}, {"a002", provider, 7}, {"a003", provider, 7}, {"a004", provider, 9},
	}}
	p.cool("a004", opus, 600)
	p.chooses(o, "a002", "a003", "a002")
	p.cool("a002", opus, 600)
	p.chooses(o, "a003", "a003")
	p.cool("a003", opus, 600)
	p.chooses(o, "a001", "a001")
	p.cool("a001", opus, 600)
	p.chooses(o, "all_cooling")
}

func TestChooseStrategies(t *testing.T) {
	for strategy, want := range map[Strategy][]string{
		"":         {"a002", "a003", "a004", "a002"},
		RoundRobin: {"a002", "a003", "a004", "a002"},
		FillFirst:  {"a002", "a002", "a002", "a002"},
	} {
		p := newPool(t, setup{accounts: accounts(4, nil)})
		p.cool("a001", opus, 600)
		p.chooses(Offer{Model: opus, Accounts: offers(provider, "a004", "a003", "a002", "a001"), Strategy: strategy}, want...)
	}
	p := newPool(t, setup{accounts: accounts(4, nil)})
	p.cool("a001", opus, 600)
	o := Offer{Model: opus, Accounts: offers(provider, "a001", "a002", "a003", "a004"), Strategy: Sticky, Session: "s"}
	one := p.chosen(o)
	p.chooses(o, one, one, one)
	o.Strategy, o.Session = Weighted, ""
	seen := map[string]int{}
	for range 30 {
		seen[p.chosen(o)]++
	}
	if len(seen) != 3 || seen["a001"] > 0 {
		t.Errorf("weighted served %v", seen)
	}
}

// TestChooseAmongProviders: a usable account of any provider will do, each provider has
// its own groups, and what is said of a refusal is of all.
func TestChooseAmongProviders(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	for _, id := range []string{"c1", "c2"} {
		p.do(&projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: "claude"}})
	}
	o := Offer{Model: opus, Accounts: append(offers(provider, "a001", "a002"), offers("claude", "c1", "c2")...)}
	p.chooses(o, "free")
	p.cool("a001", opus, 600)
	p.chooses(o, "a002", "c1", "c2", "a002")
	p.cool("a002", opus, 900)
	p.chooses(o, "c1", "c2", "c1")
	p.suspend("c1", "*", 0)
	p.suspend("c2", "*", 0)
	_, err := p.Choose(o)
	blocked, ok := errors.AsType[*BlockedError](err)
	if !ok {
		t.Fatalf("%v", err)
	}
	if blocked.Code != BlockCooling || blocked.Counts != (Counts{Cooling: 2, Suspended: 2}) || blocked.Provider != "antigravity, claude" {
		t.Errorf("%+v", blocked)
	}
	if end := blocked.EarliestEnd.Sub(p.now()); end < 600*time.Second || end > 660*time.Second || blocked.RetryAfter() < end {
		t.Errorf("the first comes back after %s, Retry-After %s", end, blocked.RetryAfter())
	}
	var reasons []string
	for r := range blocked.Reasons() {
		reasons = append(reasons, r.Account+" "+r.Status)
	}
	if want := []string{"a001 cooling", "a002 cooling", "c1 suspended", "c2 suspended"}; !slices.Equal(reasons, want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
	for range blocked.Reasons() {
		break // early
	}
	o.Accounts = o.Accounts[2:]
	p.chooses(o, "all_suspended")
}

// TestChooseKnownElsewhere: nothing is known of an account under another provider.
func TestChooseKnownElsewhere(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	p.suspend("a001", "*", 0)
	p.chooses(Offer{Model: "m", Accounts: offers("codex", "a001")}, "free")
	p.cool("a002", opus, 600)
	p.chooses(Offer{Model: opus, Accounts: append(offers(provider, "a002"), offers("codex", "a001")...)}, "a001")
}

// TestChooseProbes: a choice lets a probe out as a pick does, and each provider has its
// own.
func TestChooseProbes(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil), probes: &projection.ProbeConfig{}})
	o := Offer{Model: opus, Accounts: offers(provider, "a001", "a002")}
	p.cool("a001", opus, 7200)
	p.cool("a002", opus, 7200)
	p.chooses(o, "all_cooling")
	p.tick(6 * time.Minute)
	c, err := p.Choose(o)
	if err != nil || c.Lease.Probe == 0 || c.Blocked != 2 {
		t.Fatalf("%+v %v", c, err)
	}
	p.chooses(o, "all_cooling") // one is out
	p.Release(c.Lease)
	p.tick(time.Minute)
	if c, err = p.Choose(o); err != nil || c.Lease.Probe == 0 {
		t.Errorf("after its release: %+v %v", c, err)
	}
}

// TestChooseForgotten: an account is answered under the id that it was offered by.
func TestChooseForgotten(t *testing.T) {
	ids := identity.New()
	p := newPool(t, setup{ids: ids})
	const mira, noor = "mira@example.com", "noor@example.com"
	for _, id := range []string{mira, noor} {
		if err := ids.Add(id); err != nil {
			t.Fatal(err)
		}
		p.do(&projection.PutAccount{ID: ids.Stored(id), Spec: events.AccountSpec{Provider: provider}})
	}
	p.cool(ids.Stored(mira), opus, 600)
	o := Offer{Model: opus, Accounts: offers(provider, mira, noor)}
	p.chooses(o, noor)
	if ok, err := ids.Forget(noor); !ok || err != nil {
		t.Fatal(ok, err)
	}
	p.chooses(o, noor)
}

func TestChooseRefusesMalformed(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	for _, o := range []Offer{
		{Model: opus},
		{Accounts: offers(provider, "a001")},
		{Model: opus, Accounts: offers(provider, "")},
		{Model: opus, Accounts: offers("", "a001")},
		{Model: opus, Accounts: offers(provider, "a001"), Strategy: "luck"},
	} {
		if _, err := p.Choose(o); !errors.Is(err, ErrRequest) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestChooseManyAccounts: there is no bound, and all get their turn.
func TestChooseManyAccounts(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(600, nil)})
	var ids []string
	for i := range 600 {
		ids = append(ids, fmt.Sprintf("a%03d", i+1))
	}
	p.cool("a300", opus, 600)
	seen := map[string]int{}
	for range 2 * 599 {
		seen[p.chosen(Offer{Model: opus, Accounts: offers(provider, ids...)})]++
	}
	for id, n := range seen {
		if n != 2 {
			t.Errorf("%s was served %d times", id, n)
		}
	}
	if len(seen) != 599 || seen["a300"] > 0 {
		t.Errorf("%d accounts were served", len(seen))
	}
}

// TestChooseAgreesWithPick: of one provider and one priority, a choice is a pick among
// candidates.
func TestChooseAgreesWithPick(t *testing.T) {
	picks, choices := newPool(t, setup{accounts: accounts(5, nil)}), newPool(t, setup{accounts: accounts(5, nil)})
	ids := []string{"a001", "a002", "a003", "a004", "a005"}
	for _, p := range []*pool{picks, choices} {
		p.cool("a001", opus, 600)
	}
	for round := range 40 {
		if round%7 == 3 {
			id := ids[1+round%3]
			picks.cool(id, opus, 120)
			choices.cool(id, opus, 120)
		}
		if round%11 == 5 {
			picks.tick(50 * time.Second)
			choices.tick(50 * time.Second)
		}
		want := picks.served(Request{Model: opus, Candidates: ids})
		if got := choices.chosen(Offer{Model: opus, Accounts: offers(provider, ids...)}); got != want {
			t.Fatalf("round %d: chose %s, picked %s", round, got, want)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	p := newPool(b, setup{accounts: accounts(60, nil)})
	p.cool("a001", opus, 600)
	var ids []string
	for i := range 60 {
		ids = append(ids, fmt.Sprintf("a%03d", i+1))
	}
	o := Offer{Model: opus, Accounts: offers(provider, ids...), Now: p.now()}
	for b.Loop() {
		if _, err := p.Choose(o); err != nil {
			b.Fatal(err)
		}
	}
}
