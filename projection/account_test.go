package projection

import (
	"fmt"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

func TestRule27ObservedAccounts(t *testing.T) {
	x := newScenario(t)
	r := x.observed("new", opus, quota(600))
	x.wants(x.do(r), events.KindAccountAdded, events.KindLimitObserved)
	a := x.s.Account("new")
	if want := (events.AccountSpec{Provider: "antigravity", Weight: 1, Origin: events.OriginObserved}); a.Spec != want {
		t.Errorf("the account is %+v, want %+v", a.Spec, want)
	}
	if _, total := x.s.Usable("antigravity", "claude", x.now); total != 2 {
		t.Errorf("%d accounts in the pool, want the configured 2", total)
	}
	if n := newIndex(x.s.order(), x.now).Pool("antigravity").Len(); n != 2 {
		t.Errorf("%d accounts are offered, want 2", n)
	}
	// What changes nothing makes nothing known.
	x.nothing(x.observed("other", opus, ok()))
	x.nothing(x.observed("other", opus, signal(events.ClassServerError, events.ScopeNone)))
	if x.s.Account("other") != nil {
		t.Error("an account was added for nothing")
	}
	// A PUT adopts it, with its blocks.
	x.wants(x.do(&PutAccount{ID: "new", Spec: events.AccountSpec{Provider: "antigravity"}}), events.KindAccountChanged)
	x.status("new", "claude", StatusCooling)
	if n := newIndex(x.s.order(), x.now).Pool("antigravity").Len(); n != 3 {
		t.Errorf("%d accounts are offered, want 3", n)
	}
}

func TestRule27PoolIsBounded(t *testing.T) {
	x := newScenario(t)
	full := NewState()
	full.groups, full.policy = x.s.groups, x.s.policy
	for i := range MaxAccounts {
		id := fmt.Sprintf("b%06d", i)
		full.put(id, &Account{ID: id})
	}
	for _, do := range []Intent{&PutAccount{ID: "new", Spec: events.AccountSpec{Provider: "codex"}}, &Report{
		Account: "new", Provider: "codex", Status: 429, Signal: signal(events.ClassQuotaExhausted, events.ScopeAccount, 60),
	}} {
		_, err := Decide(full, Command{Do: do}, x.now)
		if e, ok := err.(*Error); !ok || e.Code != CodePoolFull {
			t.Errorf("%T: error %v, want pool_full", do, err)
		}
	}
}

func TestRule28RemovingAndAddingAgain(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	before := x.s.Head().Seq
	x.at(time.Minute).do(&RemoveAccount{ID: "a1", Reason: "sold"})
	removal := x.s.Head().Seq
	x.usable(opus, "a2")

	late := x.observed("a1", opus, quota(600))
	late.Provider = "antigravity"
	late.StartedAt = x.now.Add(-time.Second)
	x.refused(CodeAccountRemoved, late)
	late.StartedAt, late.Lease = time.Time{}, before
	x.refused(CodeAccountRemoved, late)

	x.at(2 * time.Minute)
	x.add("a1", "antigravity")
	x.usable(opus, "a1", "a2") // it starts clean
	x.refused(CodeAccountRemoved, late)
	late.Lease = removal
	x.effect(x.tell(late), events.EffectStarted)
}

func TestRule28ProviderMismatch(t *testing.T) {
	x := newScenario(t)
	r := x.observed("a1", opus, quota(600))
	r.Provider = "codex"
	x.refused(CodeProviderMismatch, r)
	r.Signal = ok()
	x.refused(CodeProviderMismatch, r)
	x.refused(CodeProviderMismatch, &PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "codex"}})
	x.add("g1", "gemini")
	r = x.observed("g1", pro, quota(600))
	r.Provider = " Gemini-API" // the same provider
	x.effect(x.tell(r), events.EffectStarted)
}

func TestRule28NewCredentialReleasesHolds(t *testing.T) {
	x := newScenario(t)
	x.do(&PatchAccount{ID: "a1", CredentialVersion: new("1")})
	x.report("a1", opus, quota(600))
	x.report("a1", opus, banned())
	x.do(suspend("a1", "*", "by hand"))
	x.do(&PatchAccount{ID: "a1", Priority: new(2)})
	x.do(&PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "antigravity"}}) // says nothing of it
	if x.s.Account("a1").Cell("*").Held == nil {
		t.Error("settings without a new credential released the hold")
	}
	x.at(time.Minute).do(&PatchAccount{ID: "a1", CredentialVersion: new("2")})
	c := x.s.Account("a1").Cell("*")
	if c.Held != nil || c.Suspended == nil {
		t.Errorf("held %v, suspended %v; want the suspension alone", c.Held, c.Suspended)
	}
	x.status("a1", "claude", StatusCooling) // a quota does not care
	// An answer to the old credential is stale.
	old := x.observed("a1", opus, banned())
	old.StartedAt = noon()
	x.nothing(old)
	if x.s.Account("a1").Cell("*").Held != nil {
		t.Error("an older refusal holds the new credential")
	}
}

func TestRule28RemovalKeepsASuspensionUnlessForced(t *testing.T) {
	x := newScenario(t)
	x.do(suspend("a1", "claude", "by hand"))
	if e := x.refused(CodeSuspensionLive, &RemoveAccount{ID: "a1"}); len(e.Cells) != 1 {
		t.Errorf("cells %v", e.Cells)
	}
	d := x.do(&RemoveAccount{ID: "a1", Force: true})
	if e := d.Drafts[0].Event.(*events.AccountRemoved); !e.Forced {
		t.Error("the record does not say that it was forced")
	}
	x.do(&RemoveAccount{ID: "a2"})
	if x.s.Len() != 0 {
		t.Errorf("%d accounts are left", x.s.Len())
	}
}

func TestRule28RefusedAccounts(t *testing.T) {
	x := newScenario(t)
	for name, c := range map[string]*PutAccount{
		"no id":                   {Spec: events.AccountSpec{Provider: "p"}},
		"an id with a newline":    {ID: "a\nb", Spec: events.AccountSpec{Provider: "p"}},
		"an id not in form C":     {ID: "e\u0301", Spec: events.AccountSpec{Provider: "p"}},
		"no provider":             {ID: "b"},
		"a weight":                {ID: "b", Spec: events.AccountSpec{Provider: "p", Weight: 17}},
		"a negative weight":       {ID: "b", Spec: events.AccountSpec{Provider: "p", Weight: -1}},
		"a priority":              {ID: "b", Spec: events.AccountSpec{Provider: "p", Priority: 1 << 40}},
		"a credential as version": {ID: "b", Spec: events.AccountSpec{Provider: "p", CredentialVersion: "sk-aaaaaaaaaaaaaaaaaaaaaaaa"}},
		"a version of many bytes": {ID: "b", Spec: events.AccountSpec{Provider: "p", CredentialVersion: fmt.Sprintf("%0200d", 1)}},
	} {
		t.Run(name, func(t *testing.T) { x.refused(CodeInvalid, c) })
	}
	x.refused(CodeInvalid, &PatchAccount{ID: "a1", Weight: new(0)})
}

func TestRule28RefusedReports(t *testing.T) {
	x := newScenario(t)
	for name, change := range map[string]func(*Report){
		"no account":            func(r *Report) { r.Account = "" },
		"no provider":           func(r *Report) { r.Provider = "" },
		"a control character":   func(r *Report) { r.Model = "a\x1b" },
		"a long request id":     func(r *Report) { r.RequestID = fmt.Sprintf("%0300d", 1) },
		"an operation":          func(r *Report) { r.Operation = "embed" },
		"a status":              func(r *Report) { r.Status = 1000 },
		"a lease of the future": func(r *Report) { r.Lease = x.s.Head().Seq + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := x.observed("a1", opus, quota(600))
			change(r)
			x.refused(CodeInvalid, r)
		})
	}
}
