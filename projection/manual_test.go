package projection

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

func TestRule02ManualWritesTouchNoCooldown(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.do(suspend("a1", "claude", "by hand"))
	x.do(clearCell("a1", "claude"))
	x.do(suspend("a1", "claude", "again"))
	x.do(lift("a1", "claude"))
	x.usable(opus, "a1", "a2") // the cleared cooldown did not come back

	x.do(suspend("a1", "claude", "by hand"))
	x.report("a1", opus, quota(7200)) // a newer one, while suspended
	x.do(suspend("a1", "claude", "another reason"))
	x.do(lift("a1", "claude"))
	x.status("a1", "claude", StatusCooling)

	x.at(3 * time.Hour).do(&Expire{})
	x.do(suspend("a1", "claude", "by hand"))
	x.do(lift("a1", "claude"))
	x.status("a1", "claude", StatusAvailable) // nor did the expired one
}

func TestRule24ManualAndAutomaticAreIndependent(t *testing.T) {
	both := func(t *testing.T) *scenario {
		x := newScenario(t)
		x.report("a1", opus, quota(600))
		x.do(suspend("a1", "claude", "billing"))
		x.status("a1", "claude", StatusSuspended)
		return x
	}
	tests := []struct {
		name    string
		end     func(*scenario)
		cooling bool
		reason  string // of the suspension; empty: lifted
	}{
		{"clear", func(x *scenario) { x.do(clearCell("a1", "claude")) }, false, "billing"},
		{"bulk clear", func(x *scenario) { x.do(&Clear{Filter: Filter{Provider: "antigravity"}}) }, false, "billing"},
		{"recovery", func(x *scenario) { x.at(time.Second).report("a1", opus, ok()) }, false, "billing"},
		{"expiry", func(x *scenario) { x.at(time.Hour).do(&Expire{}) }, false, "billing"},
		{"lift", func(x *scenario) { x.do(lift("a1", "claude")) }, true, ""},
		{"bulk lift", func(x *scenario) { x.do(&Lift{Filter: Filter{Provider: "antigravity"}}) }, true, ""},
		{"suspending again", func(x *scenario) { x.do(suspend("a1", "claude", "fraud")) }, true, "fraud"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x := both(t)
			test.end(x)
			c := x.s.Account("a1").Cell("claude")
			k, _, s := c.Live(x.now)
			if k != nil != test.cooling || s != nil != (test.reason != "") || s != nil && (s.Reason != test.reason || !s.Until.IsZero()) {
				t.Errorf("cooling %t, suspension %+v; want cooling %t, reason %q", k != nil, s, test.cooling, test.reason)
			}
		})
	}
}

func TestRule24TimedSuspensionEndsAtItsEnd(t *testing.T) {
	x := newScenario(t)
	x.do(&Suspend{Filter: Filter{Account: "a1", Target: "claude"}, Reason: "an hour", For: time.Hour})
	x.report("a1", opus, quota(7200))
	x.at(time.Hour-1).status("a1", "claude", StatusSuspended)
	x.at(time.Hour).status("a1", "claude", StatusCooling)
	d := x.do(&Expire{})
	x.wants(d, events.KindExpired)
	if e := d.Drafts[0].Event.(*events.Expired); e.Dimension != events.DimensionSuspended {
		t.Errorf("%s expired", e.Dimension)
	}
	x.status("a1", "claude", StatusCooling)
}

func TestRule25EmptyFilter(t *testing.T) {
	x := newScenario(t)
	x.refused(CodeEmptyFilter, &Suspend{Reason: "all", Forever: true})
	x.refused(CodeEmptyFilter, &Lift{Filter: Filter{Provider: " ", Target: " "}})
	x.refused(CodeEmptyFilter, &Clear{})
}

func TestRule25SuspendNeedsReasonAndOneEnd(t *testing.T) {
	x := newScenario(t)
	f := Filter{Account: "a1"}
	bad := map[string]*Suspend{
		"reason":        {Filter: f, Forever: true},
		"blank reason":  {Filter: f, Forever: true, Reason: " \n "},
		"no end":        {Filter: f, Reason: "x"},
		"two ends":      {Filter: f, Reason: "x", For: time.Hour, Forever: true},
		"two other":     {Filter: f, Reason: "x", For: time.Hour, Until: noon().Add(time.Hour)},
		"negative":      {Filter: f, Reason: "x", For: -time.Hour},
		"over a year":   {Filter: f, Reason: "x", For: 367 * day},
		"past":          {Filter: f, Reason: "x", Until: noon().Add(-1)},
		"now":           {Filter: f, Reason: "x", Until: noon()},
		"the year 9999": {Filter: f, Reason: "x", Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	for name, c := range bad {
		t.Run(name, func(t *testing.T) { x.refused(CodeInvalid, c) })
	}
	x.do(&Suspend{Filter: f, Reason: "x", Until: noon().Add(2 * time.Hour)})
	x.do(&Suspend{Filter: f, Reason: "y", For: time.Hour}) // replaces reason and end, also by an earlier one
	if s := x.s.Account("a1").Cell("*").Suspended; s.Reason != "y" || !s.Until.Equal(noon().Add(time.Hour)) {
		t.Errorf("the suspension is %+v", s)
	}
}

func TestRule25SuspendWithoutTargetIsEverything(t *testing.T) {
	x := newScenario(t)
	x.add("c1", "codex")
	d := x.do(&Suspend{Filter: Filter{Provider: "antigravity"}, Reason: "maintenance", Forever: true})
	want := []events.Cell{{Account: "a1", Target: "*"}, {Account: "a2", Target: "*"}}
	if diff := cmp.Diff(want, d.Cells); diff != "" {
		t.Error(diff)
	}
	x.usable(opus, "c1")
	// The other verbs without a target mean every matching cell.
	x.do(suspend("a1", "claude", "as well"))
	if d := x.do(&Lift{Filter: Filter{Account: "a1"}}); len(d.Cells) != 2 {
		t.Errorf("lifted %v, want both cells", d.Cells)
	}
}

func TestRule25AGroupOnlyWhereItIs(t *testing.T) {
	x := newScenario(t)
	x.add("c1", "codex")
	d := x.do(&Suspend{Filter: Filter{Target: "claude"}, Reason: "billing", Forever: true})
	want := []events.Cell{{Account: "a1", Target: "claude"}, {Account: "a2", Target: "claude"}}
	if diff := cmp.Diff(want, d.Cells); diff != "" {
		t.Error(diff)
	}
}

func TestRule25ClearingAGroupClearsItsModels(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.report("a1", sonnet, capacity(60))
	x.report("a1", pro, capacity(60))
	x.report("a1", opus, signal(events.ClassPayment, events.ScopeAccount))
	d := x.do(clearCell("a1", "claude"))
	want := []events.Cell{{Account: "a1", Target: "claude"}, {Account: "a1", Target: "model:" + sonnet}}
	if diff := cmp.Diff(want, d.Cells); diff != "" {
		t.Error(diff)
	}
	x.status("a1", "*", StatusCooling)
	x.status("a1", "model:"+pro, StatusCooling)
	if e := d.Drafts[0].Event.(*events.CooldownCleared); e.Until.IsZero() {
		t.Error("the deadline that was cut is not recorded")
	}
	// Suspending a model is not part of its group.
	x.do(suspend("a2", "model:"+sonnet, "by hand"))
	x.nothing(&Lift{Filter: Filter{Account: "a2", Target: "claude"}})
}

func TestRule25FilterOfClassAndStart(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(86400))
	x.at(time.Hour).report("a1", pro, quota(86400))
	x.at(2*time.Hour).report("a2", opus, banned())
	x.at(3 * time.Hour)
	for _, test := range []struct {
		filter Filter
		want   string
	}{
		{Filter{Class: events.ClassQuotaExhausted}, "a1/claude a1/gemini-pro"},
		{Filter{Class: events.ClassForbidden}, "a2/*"},
		{Filter{StartedAfter: noon()}, "a1/gemini-pro a2/*"},
		{Filter{StartedBefore: noon().Add(2 * time.Hour)}, "a1/claude a1/gemini-pro"},
		{Filter{StartedAfter: noon(), StartedBefore: noon().Add(2 * time.Hour)}, "a1/gemini-pro"},
		{Filter{Account: "a1", Class: events.ClassForbidden}, ""},
		{Filter{Provider: "Antigravity", Target: "Claude"}, "a1/claude"},
	} {
		var got []string
		for _, c := range x.do(&Clear{Filter: test.filter, DryRun: true}).Cells {
			got = append(got, c.Account+"/"+c.Target)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%+v clears %v, want %s", test.filter, got, test.want)
		}
	}
	// Suspending what was frozen by a class blocks all of those accounts.
	d := x.do(&Suspend{Filter: Filter{Class: events.ClassForbidden}, Reason: "ask the owner", Forever: true})
	if diff := cmp.Diff([]events.Cell{{Account: "a2", Target: "*"}}, d.Cells); diff != "" {
		t.Error(diff)
	}
	x.refused(CodeInvalid, &Clear{Filter: Filter{Class: "bad"}})
}

func TestRule25DryRunCountsAndStoresNothing(t *testing.T) {
	x := newScenario(t)
	x.add("a3", "antigravity")
	x.report("a1", opus, quota(600))
	x.report("nobody", opus, quota(600)) // observed: not of the pool
	want := []UsableChange{
		{Provider: "antigravity", Group: "claude", Total: 3, Before: 2, After: 1},
		{Provider: "antigravity", Group: "gemini-pro", Total: 3, Before: 3, After: 2},
		{Provider: "antigravity", Group: "gemini-flash", Total: 3, Before: 3, After: 2},
	}
	wet := &Suspend{Filter: Filter{Account: "a2"}, Reason: "x", Forever: true}
	dry := *wet
	dry.DryRun = true
	head := x.s.Head()
	for _, c := range []*Suspend{&dry, wet} {
		if head != x.s.Head() {
			t.Error("the dry run was recorded")
		}
		d := x.do(c)
		if diff := cmp.Diff(want, d.Usable); diff != "" {
			t.Errorf("dry run %t: %s", c.DryRun, diff)
		}
		if d.DryRun != c.DryRun || len(d.Cells) != 1 {
			t.Errorf("dry run %t, cells %v", d.DryRun, d.Cells)
		}
	}
	d := x.do(&Clear{Filter: Filter{Provider: "antigravity", Target: "claude"}})
	if u := d.Usable[0]; u.Before != 1 || u.After != 2 {
		t.Errorf("clearing gives %+v, want usable 1 before and 2 after", u)
	}
}

func TestRule25WrongVerb(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.do(suspend("a2", "claude", "by hand"))
	for _, test := range []struct {
		do   Intent
		verb string
	}{{lift("a1", "claude"), "clear"}, {clearCell("a2", "claude"), "lift"}, {lift("a1", ""), "clear"}} {
		e := x.refused(CodeWrongVerb, test.do)
		if !strings.Contains(e.Message, "use "+test.verb) || len(e.Cells) != 1 {
			t.Errorf("the message %q with the cells %v does not name %s", e.Message, e.Cells, test.verb)
		}
	}
	// A block that the filter's class or start leaves out is nothing to name.
	before := x.now.Add(-time.Hour)
	for _, c := range []Intent{
		&Clear{Filter: Filter{Account: "a2", Class: events.ClassQuotaExhausted}},
		&Clear{Filter: Filter{Account: "a2", StartedBefore: before}},
		&Lift{Filter: Filter{Account: "a1", StartedBefore: before}},
		&Lift{Filter: Filter{Account: "a1", Class: events.ClassAuth}},
	} {
		if d := x.do(c); len(d.Drafts) != 0 || d.Unchanged == "" {
			t.Errorf("%+v gives %+v, want nothing changed", c, d)
		}
	}
	// Where some match, those that do not are left alone.
	x.do(&Lift{Filter: Filter{Provider: "antigravity"}})
	x.status("a1", "claude", StatusCooling)
	x.status("a2", "claude", StatusAvailable)
}

func TestRule25OneCommandOneCorrelation(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.report("a2", opus, quota(600))
	x.report("a2", pro, quota(600))
	x.origin.CorrelationID = "one"
	d := x.do(&Clear{Filter: Filter{Provider: "antigravity"}, Reason: "it is back"})
	x.wants(d, events.KindCooldownCleared, events.KindCooldownCleared, events.KindCooldownCleared)
	for _, draft := range d.Drafts {
		if draft.CorrelationID != "one" || draft.Event.(*events.CooldownCleared).Reason != "it is back" {
			t.Errorf("the draft %+v does not carry the command's id and reason", draft)
		}
	}
}

func TestRule26TheActorIsThePrincipal(t *testing.T) {
	x := newScenario(t)
	x.origin = events.Origin{Actor: "operator:night", OnBehalfOf: "bob", Via: events.ViaCLI}
	x.do(suspend("a1", "claude", "by hand"))
	if s := x.s.Account("a1").Cell("claude").Suspended; s.By != "operator:night" || s.OnBehalfOf != "bob" {
		t.Errorf("suspended by %q for %q", s.By, s.OnBehalfOf)
	}
	if r := x.recs[len(x.recs)-1]; r.Actor != "operator:night" || r.OnBehalfOf != "bob" || r.Via != events.ViaCLI {
		t.Errorf("the record says %+v", r.Origin)
	}
}

func TestRule27UnknownNames(t *testing.T) {
	x := newScenario(t)
	head := x.s.Head()
	x.refused(CodeUnknownAccount, suspend("nobody", "claude", "x"))
	x.refused(CodeUnknownAccount, lift("nobody", ""))
	x.refused(CodeUnknownAccount, &PatchAccount{ID: "nobody"})
	x.refused(CodeUnknownAccount, &RemoveAccount{ID: "nobody"})
	x.refused(CodeUnknownTarget, suspend("a1", "claud", "x"))
	x.refused(CodeUnknownTarget, suspend("a1", "codex-main", "x")) // not a group of its provider
	x.refused(CodeUnknownAccount, &Clear{Filter: Filter{Provider: "codex"}})
	x.refused(CodeUnknownTarget, clearCell("a1", "nope"))
	x.refused(CodeInvalid, suspend("a1", "model:", "x"))
	x.refused(CodeInvalid, suspend("a1", "model:a\x01", "x"))
	if x.s.Head() != head {
		t.Error("something was stored")
	}
	// A model needs no definition: it stands for itself.
	x.do(suspend("a1", "Model: New-One(high)", "x"))
	x.usable("new-one", "a2")
}

func TestRule32UnavailableAsAWhole(t *testing.T) {
	x := newScenario(t)
	for _, m := range []string{opus, pro} {
		x.report("a1", m, quota(600))
	}
	x.usable(flash, "a1", "a2")
	x.usable(lone, "a1", "a2")
	x.report("a2", opus, signal(events.ClassPayment, events.ScopeAccount))
	for _, m := range []string{opus, flash, lone} {
		if r := x.s.Groups().Resolve("antigravity", m); x.s.Account("a2").Usable(r, x.now) {
			t.Errorf("%s can be served although everything is blocked", m)
		}
	}
}
