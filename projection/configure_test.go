package projection

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

func listed(ids ...string) (list []PutAccount) {
	for _, id := range ids {
		list = append(list, PutAccount{ID: id, Spec: events.AccountSpec{Provider: "antigravity"}})
	}
	return list
}

func accountIDs(s *State) (ids []string) {
	for a := range s.Accounts("") {
		ids = append(ids, a.ID)
	}
	return ids
}

func TestConfigureIsOneCommand(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600)) // on the group that goes
	do := &Configure{
		Groups: &GroupsConfig{Bootstrap: PresetNone, Groups: []GroupConfig{
			{ID: "anthropic", Providers: []string{"antigravity"}, Patterns: []string{"claude-*"}},
		}},
		Policy:   &PolicyConfig{RulesConfig: RulesConfig{Capacity: &ClassConfig{None: true}}},
		Accounts: listed("a1", "b1"), WholePool: true,
	}
	d := x.do(do)
	x.wants(d, events.KindGroupsDefined, events.KindPolicyDefined, events.KindAccountRemoved, events.KindAccountAdded)
	if want := []CellMove{{"a1", "claude", "anthropic", false}}; cmp.Diff(want, d.Plan.Cells) != "" {
		t.Errorf("the plan moves %v, want %v", d.Plan.Cells, want)
	}
	if got := accountIDs(x.s); !slices.Equal(got, []string{"a1", "b1"}) {
		t.Errorf("the pool is %v", got)
	}
	x.status("a1", "anthropic", StatusCooling)
	x.nothing(do)
	// What is not said stays.
	x.nothing(&Configure{})
	x.nothing(&Configure{Accounts: listed("a1")})
}

// One part that is refused keeps all of it from happening.
func TestConfigureHappensWholeOrNotAtAll(t *testing.T) {
	groups := &GroupsConfig{Groups: []GroupConfig{{ID: "k", Providers: []string{"kimi"}, Patterns: []string{"k*"}}}}
	policy := &PolicyConfig{RulesConfig: RulesConfig{Capacity: &ClassConfig{None: true}}}
	for _, c := range []struct {
		name string
		code Code
		do   Configure
	}{
		{"groups", CodeInvalidGroups, Configure{Groups: &GroupsConfig{Bootstrap: "all"}, Policy: policy, Accounts: listed("b1")}},
		{"policy", CodeInvalidPolicy, Configure{Groups: groups, Policy: &PolicyConfig{RulesConfig: RulesConfig{Poison: &PoisonConfig{Accounts: new(1)}}}}},
		{"provider", CodeProviderMismatch, Configure{
			Groups: groups, Policy: policy, Accounts: append(listed("b1"), PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "codex"}}),
		}},
		{"given twice", CodeInvalid, Configure{Groups: groups, Accounts: listed("b1", "b1")}},
		{"suspended", CodeSuspensionLive, Configure{Groups: groups, Policy: policy, Accounts: listed("b1"), WholePool: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newScenario(t)
			x.do(&Suspend{Filter: Filter{Account: "a2", Target: "claude"}, Reason: "why", Forever: true})
			x.refused(c.code, &c.do)
		})
	}
}

func TestWholePoolKeepsWhatNobodyConfigured(t *testing.T) {
	x := newScenario(t)
	x.do(x.observed("seen", opus, quota(600)))
	d := x.do(&Configure{Accounts: listed("a2"), WholePool: true})
	x.wants(d, events.KindAccountRemoved)
	if got := accountIDs(x.s); !slices.Equal(got, []string{"a2", "seen"}) {
		t.Errorf("the pool is %v", got)
	}
	// To list it adopts it, with its blocks; then it is one of the configured.
	x.wants(x.do(&Configure{Accounts: listed("a2", "seen"), WholePool: true}), events.KindAccountChanged)
	x.status("seen", "claude", StatusCooling)
	x.wants(x.do(&Configure{WholePool: true}), events.KindAccountRemoved, events.KindAccountRemoved)
	if x.s.Len() != 0 {
		t.Errorf("the pool is %v", accountIDs(x.s))
	}
}

func TestWholePoolNeverDropsAManualSuspension(t *testing.T) {
	x := newScenario(t)
	x.add("a3", "antigravity")
	for _, id := range []string{"a1", "a2"} {
		x.do(&Suspend{Filter: Filter{Account: id, Target: "claude"}, Reason: "why", Until: x.now.Add(time.Hour)})
	}
	x.do(&Suspend{Filter: Filter{Account: "a1", Target: "gemini-pro"}, Reason: "why", Forever: true})
	do := &Configure{Accounts: listed("b1"), WholePool: true}
	e := x.refused(CodeSuspensionLive, do)
	if want := `account "a1" is no longer listed and is suspended by hand on claude, gemini-pro (and 1 more like it): `; !strings.HasPrefix(e.Message, want) {
		t.Errorf("the message is %s\nwant %s...", e.Message, want)
	}
	if want := []events.Cell{{Account: "a1", Target: "claude"}, {Account: "a1", Target: "gemini-pro"}, {Account: "a2", Target: "claude"}}; cmp.Diff(want, e.Cells) != "" {
		t.Errorf("the cells in the way are %v", e.Cells)
	}
	// Listed and disabled it stays, with its suspensions; the other's is over in time.
	kept := append(listed("b1"), PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "antigravity", Disabled: true}})
	x.refused(CodeSuspensionLive, &Configure{Accounts: kept, WholePool: true})
	x.at(time.Hour)
	x.do(&Configure{Accounts: kept, WholePool: true})
	if got := accountIDs(x.s); !slices.Equal(got, []string{"a1", "b1"}) || x.s.Account("a1").Cells == nil {
		t.Errorf("the pool is %v", got)
	}
}

// A full pool can be exchanged in one command: accounts go before others come.
func TestWholePoolExchangesAFullPool(t *testing.T) {
	full := newScenario(t).s.working()
	for i := full.Len(); i < MaxAccounts; i++ {
		id := fmt.Sprintf("b%06d", i)
		full.put(id, &Account{ID: id, Spec: events.AccountSpec{Provider: "antigravity", Origin: events.OriginConfigured}})
	}
	if _, err := Decide(full, Command{Do: &Configure{Accounts: listed("new")}}, noon()); err == nil {
		t.Error("an account was added to a full pool")
	}
	d, err := Decide(full, Command{Do: &Configure{Accounts: listed("new"), WholePool: true}}, noon())
	if err != nil || len(d.Drafts) != MaxAccounts+1 {
		t.Errorf("%d drafts, error %v", len(d.Drafts), err)
	}
}

func TestOpenConfiguresTheWholePool(t *testing.T) {
	log := eventstest.New()
	open(t, log, withAccounts(3)).Close()
	e := open(t, log, &Options{Accounts: listed("a1", "b1")})
	if got := accountIDs(e.State()); !slices.Equal(got, []string{"a1", "a2", "a3", "b1"}) {
		t.Errorf("the pool is %v", got)
	}
	e.Close()
	e = open(t, log, &Options{Accounts: listed("a1", "b1"), WholePool: true})
	if got := accountIDs(e.State()); !slices.Equal(got, []string{"a1", "b1"}) {
		t.Errorf("the pool is %v", got)
	}
}

func TestObserveOnlyIsTurnedWhileTheEngineRuns(t *testing.T) {
	e := open(t, eventstest.New(), withAccounts(1))
	set := func(on bool) {
		t.Helper()
		if err := e.SetObserveOnly(t.Context(), on); err != nil {
			t.Fatal(err)
		}
		if e.View().ObserveOnly != on {
			t.Errorf("observe only is %t, want %t", !on, on)
		}
	}
	set(true)
	// What is published after it keeps it, also what was on its way before.
	execute(t, e, limit("a1", opus, 600))
	if !e.View().ObserveOnly {
		t.Error("a commit turned observing off")
	}
	set(false)
	execute(t, e, limit("a1", pro, 600))
	if e.View().ObserveOnly {
		t.Error("a commit turned observing on")
	}
	e.Close()
	if err := e.SetObserveOnly(t.Context(), true); err != ErrStopped {
		t.Errorf("after the end: %v", err)
	}
}

// Turned while a batch is on its way to the disk, it holds for what that publishes.
func TestObserveOnlyTurnedDuringAnAppend(t *testing.T) {
	inBubble(func(t *testing.T) {
		g, e := gated(t)
		// However many of them the writer took at first, more than a few are left, so that it
		// is not the writer itself that waits for the disk.
		done := startMany(t.Context(), e, 3*few)
		g.pass <- struct{}{}
		synctest.Wait()
		if n := len(e.queue); n != 0 {
			t.Fatalf("%d commands wait: the others are to be on their way", n)
		}
		if err := e.SetObserveOnly(t.Context(), true); err != nil || !e.View().ObserveOnly {
			t.Fatalf("observe only is %t, error %v", e.View().ObserveOnly, err)
		}
		close(g.pass)
		for _, d := range done {
			if err := <-d; err != nil {
				t.Error(err)
			}
		}
		if !e.View().ObserveOnly {
			t.Error("what was on its way turned it off")
		}
	})(t)
}
