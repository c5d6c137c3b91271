package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

func TestRule30RoundRobin(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(3, nil)})
	p.wants(p.round(4, Request{Model: opus}), "a001", "a002", "a003", "a001")
	p.wants(p.round(2, Request{Model: flash}), "a001", "a002") // each group has turns of its own
	p.wants(p.round(1, Request{Model: sonnet}), "a002")        // a sibling shares those of its group
	p.wants(p.round(2, Request{Model: opus, DryRun: true}), "a003", "a003")
	p.cool("a003", opus, 600)
	p.wants(p.round(2, Request{Model: opus}), "a001", "a002")
	p.cool("a002", opus, 600)
	p.wants(p.round(2, Request{Model: opus}), "a001", "a001")
}

func TestRule30PriorityTiers(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(6, func(i int, s *events.AccountSpec) { s.Priority = i % 3 })})
	p.wants(p.round(3, Request{Model: opus}), "a002", "a005", "a002") // priority 2
	p.cool("a002", opus, 60)
	p.cool("a005", opus, 60)
	p.wants(p.round(3, Request{Model: opus}), "a001", "a004", "a001") // 1
	p.wants(p.round(1, Request{Model: opus, Exclude: []string{"a001", "a004"}}), "a003")
	p.tick(5 * time.Minute)
	p.wants(p.round(2, Request{Model: opus}), "a005", "a002")
	p.change(&projection.PatchAccount{ID: "a003", Priority: new(9)})
	p.wants(p.round(2, Request{Model: opus}), "a003", "a003")
}

func TestRule30CandidatesAndExclusions(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(4, nil)})
	p.do(&projection.PutAccount{ID: "c1", Spec: events.AccountSpec{Provider: "codex"}})
	only := Request{Model: opus, Candidates: []string{"a004", "a002", "a004"}}
	p.wants(p.round(3, only), "a002", "a004", "a002")
	p.cool("a002", opus, 600)
	p.wants(p.round(2, only), "a004", "a004")
	p.wants(p.round(3, Request{Model: opus, Exclude: []string{"a001", "nobody"}}), "a003", "a004", "a003")
	// An unknown candidate counts as unblocked, one of another provider does not count.
	p.wants(p.round(2, Request{Model: opus, Candidates: []string{"new", "c1"}}), "new", "new")
	p.wants(p.round(1, Request{Model: opus, Candidates: []string{"c1"}}), "no_accounts")
	p.change(&projection.PatchAccount{ID: "a003", Priority: new(1)})
	p.wants(p.round(2, Request{Model: opus, Candidates: []string{"a001", "a003", "new"}}), "a003", "a003")
	if p.engine.State().Account("new") != nil {
		t.Error("a pick made an account known")
	}
}

func TestRule27ObservedAccountsOnlyWhenNamed(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	p.cool("seen", flash, 600)
	p.wants(p.round(2, Request{Model: opus}), "a001", "a001")
	p.wants(p.round(1, Request{Model: opus, Candidates: []string{"seen"}}), "seen")
	p.wants(p.round(1, Request{Model: flash, Candidates: []string{"seen"}}), "all_cooling")
	p.do(&projection.PutAccount{ID: "seen", Spec: events.AccountSpec{Provider: provider}})
	p.wants(p.round(2, Request{Model: opus}), "seen", "a001")
}

func TestRule29BlocksOfAnyTarget(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(5, nil)})
	p.cool("a001", opus, 600)
	p.freeze("a002", opus, events.ClassCapacity, events.ScopeModel, 60)
	p.freeze("a003", opus, events.ClassQuotaExhausted, events.ScopeAccount, 60)
	p.suspend("a004", "*", 0)
	p.wants(p.round(2, Request{Model: opus}), "a005", "a005")
	p.wants(p.round(1, Request{Model: strings.ToUpper(opus) + "(high)"}), "a005")
	p.wants(p.round(3, Request{Model: sonnet}), "a002", "a005", "a002")
	p.wants(p.round(3, Request{Model: flash}), "a001", "a002", "a005")
	p.change(&projection.PatchAccount{ID: "a005", Disabled: new(true)})
	p.wants(p.round(1, Request{Model: opus}), "all_cooling")
}

func TestRule07PickAtTheDeadline(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	p.cool("a001", opus, 600)
	end := p.blocked(Request{Model: opus}).EarliestEnd
	p.wants(p.round(1, Request{Model: opus, Now: end.Add(-1)}), "all_cooling")
	p.wants(p.round(1, Request{Model: opus, Now: end}), "a001")
}

func TestRule21ObserveOnly(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil), observe: true})
	p.cool("a001", opus, 600)
	p.freeze("a002", opus, events.ClassForbidden, events.ScopeAccount, 0)
	for i, want := range []projection.Status{projection.StatusCooling, projection.StatusHeld} {
		l, err := p.Pick(Request{Provider: provider, Model: opus})
		if err != nil || l.Account != fmt.Sprintf("a%03d", i+1) || l.WouldBlock != want {
			t.Errorf("lease %+v, %v; want one that would be %s", l, err, want)
		}
	}
	if l, err := p.Pick(Request{Provider: provider, Model: flash}); err != nil || l.WouldBlock != "" {
		t.Errorf("lease %+v, %v; want one of nothing", l, err)
	}
	c := p.engine.State().Account("a001").Cell("claude")
	if c.Status(p.now()) != projection.StatusCooling {
		t.Error("the block is not recorded")
	}
	p.change(&projection.PatchAccount{ID: "a001", Disabled: new(true)}) // configuration still holds
	p.wants(p.round(1, Request{Model: flash, Exclude: []string{"a002"}}), "all_disabled")
}

func TestRule35GivenIDs(t *testing.T) {
	book := identity.New()
	mail := "bob@example.com"
	p := newPool(t, setup{ids: book})
	if err := book.Add(mail); err != nil {
		t.Fatal(err)
	}
	p.do(&projection.PutAccount{ID: book.Stored(mail), Spec: events.AccountSpec{Provider: provider}})
	p.wants(p.round(1, Request{Model: opus}), mail)
	p.wants(p.round(1, Request{Model: opus, Candidates: []string{mail}}), mail)
	for _, id := range []string{mail, book.Stored(mail)} {
		p.wants(p.round(1, Request{Model: opus, Exclude: []string{id}}), "all_excluded")
	}
	for r := range p.blocked(Request{Model: opus, Exclude: []string{mail}}).Reasons() {
		if r.Account != mail {
			t.Errorf("the reason names %q", r.Account)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	many := slices.Repeat([]string{"x"}, MaxNames+1)
	for name, q := range map[string]Request{
		"no provider":         {Model: opus},
		"no model":            {Provider: provider},
		"a long model":        {Provider: provider, Model: strings.Repeat("m", 257)},
		"too many candidates": {Provider: provider, Model: opus, Candidates: many},
		"too many exclusions": {Provider: provider, Model: opus, Exclude: many},
	} {
		if _, err := p.Pick(q); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v, want ErrRequest", name, err)
		}
	}
	p.wants(p.round(1, Request{Model: opus, Exclude: many[:MaxNames]}), "a001")
}

func TestLeaseText(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	l, err := p.Pick(Request{Provider: "Antigravity", Model: opus})
	if err != nil {
		t.Fatal(err)
	}
	want := Lease{Account: "a001", Provider: provider, Model: opus, Target: "claude", Seq: p.engine.State().Head().Seq}
	if l != want {
		t.Errorf("lease %+v, want %+v", l, want)
	}
	if back, err := ParseLease(l.String()); err != nil || back.Seq != l.Seq {
		t.Errorf("%q reads as %+v, %v", l.String(), back, err)
	}
	for _, s := range []string{"", "0", "-1", "+1", "01", "1.5", "1 ", "99999999999999999999"} {
		if l, err := ParseLease(s); err == nil {
			t.Errorf("%q reads as %+v", s, l)
		}
	}
}

// share checks that each account was served its part.
func share(t *testing.T, served map[string]int, accounts int) {
	t.Helper()
	least, most := 1<<62, 0
	for _, n := range served {
		least, most = min(least, n), max(most, n)
	}
	if len(served) != accounts || float64(most) > 1.01*float64(least) {
		t.Errorf("%d accounts served between %d and %d times, want %d by 1 %%", len(served), least, most, accounts)
	}
}

func TestRule30FairWhateverIsBlocked(t *testing.T) {
	const n, rounds = 120, 50
	for name, blocked := range map[string]func(i int) bool{
		"none":       func(int) bool { return false },
		"one run":    func(i int) bool { return i > 30 && i <= 90 },
		"the first":  func(i int) bool { return i <= 60 },
		"the last":   func(i int) bool { return i > 60 },
		"scattered":  func(i int) bool { return i%2 == 0 },
		"all but 1 ": func(i int) bool { return i != 77 },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, setup{accounts: accounts(n, nil)})
			usable := n
			for i := 1; i <= n; i++ {
				if blocked(i) {
					p.cool(fmt.Sprintf("a%03d", i), opus, 600)
					usable--
				}
			}
			served := map[string]int{}
			for range usable * rounds {
				served[p.served(Request{Model: opus})]++
			}
			share(t, served, usable)
			var names []string // the same by candidates
			for _, a := range accounts(n, nil) {
				names = append(names, a.ID)
			}
			clear(served)
			for range usable * 5 {
				served[p.served(Request{Model: opus, Candidates: names})]++
			}
			share(t, served, usable)
		})
	}
}

// With several pickers and a pool that changes, nobody starves and nobody blocked
// is served.
func TestRule30ConcurrentPickers(t *testing.T) {
	const n, pickers, rounds = 50, 4, 5000
	p := newPool(t, setup{accounts: accounts(n, nil)})
	for i := 21; i <= 40; i++ {
		p.cool(fmt.Sprintf("a%03d", i), opus, 600)
	}
	served := make([]map[string]int, pickers)
	stop := make(chan struct{})
	var picking, changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				p.do(&projection.PatchAccount{ID: fmt.Sprintf("a%03d", i%n+1), Weight: new(i%16 + 1)})
			}
		}
	})
	for k := range pickers {
		served[k] = map[string]int{}
		picking.Go(func() {
			for range rounds {
				l, err := p.Pick(Request{Provider: provider, Model: opus})
				if err != nil {
					t.Error(err)
					return
				}
				served[k][l.Account]++
			}
		})
	}
	picking.Wait()
	close(stop)
	changing.Wait()
	total := map[string]int{}
	for _, s := range served {
		for id, n := range s {
			total[id] += n
		}
	}
	share(t, total, 30) // a turn is taken by one pick alone
	for i := 21; i <= 40; i++ {
		if total[fmt.Sprintf("a%03d", i)] > 0 {
			t.Errorf("a%03d was served while it cooled", i)
		}
	}
}

func TestRule03PickAllocatesNothing(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(100, func(i int, s *events.AccountSpec) { s.Priority = i % 2 })})
	for i := 1; i <= 90; i++ {
		p.cool(fmt.Sprintf("a%03d", i), opus, 600)
	}
	names := []string{"a095", "a001", "a096", "a098"}
	for name, q := range map[string]Request{
		"pool":       {Model: opus},
		"another":    {Model: flash},
		"candidates": {Model: opus, Candidates: names},
		"exclusions": {Model: opus, Exclude: names},
		"both":       {Model: opus, Candidates: names, Exclude: names[:2]},
		"dry run":    {Model: opus, DryRun: true},
		"instant":    {Model: opus, Now: p.now().Add(time.Second)},
	} {
		q.Provider = provider
		if _, err := p.Pick(q); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := testing.AllocsPerRun(200, func() {
			if _, err := p.Pick(q); err != nil {
				t.Error(err)
			}
		}); got > 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func TestRule03PickAppendsNothing(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(3, nil)})
	before := p.engine.State().Head()
	p.round(10, Request{Model: opus})
	p.round(10, Request{Model: "never-seen", Candidates: []string{"unknown"}})
	if p.engine.State().Head() != before {
		t.Error("a pick was recorded")
	}
}

// Names are remembered as they were asked for, whatever became of the pick, and under
// groups that came since.
func TestAskedForModels(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	p.round(2, Request{Model: opus})
	p.round(1, Request{Model: "Of-No-Group(high)"})
	p.do(&projection.DefineGroups{Config: projection.GroupsConfig{Bootstrap: projection.PresetNone}})
	offer := Offer{Model: flash, Accounts: []Offered{{Account: "a001", Provider: "antigravity"}}}
	if _, err := p.Choose(offer); err != nil {
		t.Fatal(err)
	}
	got := p.Asked()
	slices.SortFunc(got, func(a, b projection.ModelName) int { return strings.Compare(a.Model, b.Model) })
	want := []projection.ModelName{{Provider: "antigravity", Model: "Of-No-Group(high)"}, {Provider: "antigravity", Model: opus}, {Provider: "antigravity", Model: flash}}
	if !slices.Equal(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
}
