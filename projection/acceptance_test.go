package projection

import (
	"bytes"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Rule 35 for what clients name: ids that hold an address are told apart, but not
// stored as they are; a broken clock costs no record.
func TestRule35IdsOfClientsAreScrubbed(t *testing.T) {
	x := newScenario(t)
	r := x.observed("a1", "ask mira@example.com", signal(events.ClassRateLimited, events.ScopeModel, 60))
	r.RequestID = "req mira@example.com"
	r.StartedAt = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	x.effect(x.tell(r), events.EffectStarted)
	if again := x.do(r); again.earlier.first == 0 {
		t.Error("the same request id was not known again")
	}
	other := new(*r)
	other.RequestID = "req noor@example.com"
	x.effect(x.tell(other), events.EffectKept)
	for _, rec := range x.recs {
		if bytes.Contains(rec.Encoded(), []byte("example.com")) {
			t.Errorf("record %d holds an address: %q", rec.Seq, rec.Encoded())
		}
	}
	x.refused(CodeInvalid, &PutAccount{ID: "a9", Spec: events.AccountSpec{Provider: "mira@example.com"}})
}

// Models whose names hold an address are told apart by picks and reports alike, and
// an operator's target, a label and an account's id hold none.
func TestRule35NamesOfModelsAndGroups(t *testing.T) {
	x := newScenario(t)
	mira, noor := "claude-fast-mira@example.com", "claude-fast-noor@example.com"
	x.report("a1", mira, capacity())
	x.usable(mira, "a2")
	x.usable(noor, "a1", "a2")
	x.do(suspend("a2", "model:"+noor, "x"))
	x.usable(noor, "a1")
	x.refused(CodeInvalidGroups, &DefineGroups{Config: GroupsConfig{Groups: []GroupConfig{
		{ID: "mine", Label: new("of mira@example.com"), Providers: []string{"p"}, Patterns: []string{"m"}},
	}}})
	x.refused(CodeInvalid, &PutAccount{ID: "sk-ant-api03-abcdefghijklmnop", Spec: events.AccountSpec{Provider: "claude"}})
	unknown := x.observed("sk-ant-api03-abcdefghijklmnop", opus, quota(60))
	x.refused(CodeInvalid, unknown)
	for _, rec := range x.recs {
		if bytes.Contains(rec.Encoded(), []byte("example.com")) || bytes.Contains(rec.Encoded(), []byte("sk-ant")) {
			t.Errorf("record %d holds a secret: %q", rec.Seq, rec.Encoded())
		}
	}
}

// A rate limit that asks for years has a wrong unit: it is no quota.
func TestRule17WrongUnitIsNoQuota(t *testing.T) {
	x := newScenario(t)
	r := x.tell(x.observed("a1", lone, signal(events.ClassRateLimited, events.ScopeModel, 86400000)))
	if r.Class != events.ClassRateLimited || r.Until.After(x.now.Add(5*time.Minute)) {
		t.Errorf("read as %s until %s", r.Class, r.Until)
	}
}

// A clock that runs ahead must not make a success newer than a freeze.
func TestRule19AFutureStartDatesNothing(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	served := x.at(time.Minute).observed("a1", opus, ok())
	served.StartedAt = x.now.Add(time.Hour)
	x.effect(x.tell(served), events.EffectNone, events.WhyOlderSuccess)
	x.status("a1", "claude", StatusCooling)
}

// PATCH changes settings; only a PUT or the config adopts an observed account.
func TestRule27PatchDoesNotAdopt(t *testing.T) {
	x := newScenario(t)
	x.report("seen", opus, quota(60))
	x.do(&PatchAccount{ID: "seen", Disabled: new(true)})
	if a := x.s.Account("seen"); a.Spec.Origin != events.OriginObserved || !a.Spec.Disabled {
		t.Errorf("the account is %+v", a.Spec)
	}
	x.do(&PutAccount{ID: "seen", Spec: events.AccountSpec{Provider: "antigravity"}})
	if a := x.s.Account("seen"); a.Spec.Origin != events.OriginConfigured {
		t.Errorf("after a PUT the account is %+v", a.Spec)
	}
}

// A limit without a model says why it blocks nothing.
func TestRule14WithoutAModel(t *testing.T) {
	x := newScenario(t)
	x.effect(x.tell(x.observed("a1", "", quota(60))), events.EffectNone, events.WhyNoModel)
}

// What blocks a model on an account is told whole, not only what lasts longest.
func TestWhyOfAModelNamesEveryBlock(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.do(suspend("a1", "*", "x"))
	e, err := Explain(x.s, Question{Provider: "antigravity", Model: opus}, x.now, x.lookup)
	if err != nil {
		t.Fatal(err)
	}
	var blocked []string
	for _, c := range e.Cells {
		if c.Status != StatusAvailable {
			blocked = append(blocked, c.Account+" "+c.Target)
		}
	}
	if len(blocked) != 2 {
		t.Errorf("the blocks are %v", blocked)
	}
}
