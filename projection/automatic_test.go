package projection

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

func TestRule14ScopeDecidesTheTarget(t *testing.T) {
	family := func(name string) events.Signal {
		s := quota(600)
		s.Family = name
		return s
	}
	tests := []struct {
		name   string
		model  string
		signal events.Signal
		target string
		usable map[string]string // model → accounts
	}{
		{"the group of the model", opus, quota(600), "claude", map[string]string{sonnet: "a2", pro: "a1 a2"}},
		{"the group that is named", opus, family("gemini-pro"), "gemini-pro", map[string]string{opus: "a1 a2", pro: "a2"}},
		{"by a legacy name", opus, family("g3_pro"), "gemini-pro", map[string]string{opus: "a1 a2", pro: "a2"}},
		{"the group of the model that is named", opus, family("model:" + pro), "gemini-pro", map[string]string{opus: "a1 a2", pro: "a2"}},
		{"the named model without a group", opus, family("model:" + lone), "model:" + lone, map[string]string{opus: "a1 a2", lone: "a2"}},
		{"a named group of another provider", opus, family("codex-main"), "model:" + opus, map[string]string{opus: "a2", sonnet: "a1 a2"}},
		{"a named group not known", opus, family("seven_day_else"), "model:" + opus, map[string]string{opus: "a2", sonnet: "a1 a2"}},
		{"a model without a group", lone, quota(600), "model:" + lone, map[string]string{lone: "a2", opus: "a1 a2"}},
		{"the model", opus, signal(events.ClassRateLimited, events.ScopeModel, 60), "model:" + opus, map[string]string{opus: "a2", sonnet: "a1 a2"}},
		{"the account", opus, signal(events.ClassQuotaExhausted, events.ScopeAccount, 600), "*", map[string]string{opus: "a2", pro: "a2", lone: "a2"}},
		{"nothing", opus, signal(events.ClassRateLimited, events.ScopeNone, 60), "", map[string]string{opus: "a1 a2"}},
		{"capacity is the model's, whatever the scope", opus, signal(events.ClassCapacity, events.ScopeGroup, 60), "model:" + opus, map[string]string{opus: "a2", sonnet: "a1 a2"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x := newScenario(t)
			r := x.report("a1", test.model, test.signal)
			if r.Target != test.target {
				t.Errorf("target %q, want %q", r.Target, test.target)
			}
			for m, want := range test.usable {
				x.usable(m, strings.Fields(want)...)
			}
			if n := len(x.s.Account("a1").Cells); n > 1 {
				t.Errorf("%d cells are marked, want one at most", n)
			}
		})
	}
}

func TestRule14ClassNotStatusDecides(t *testing.T) {
	x := newScenario(t)
	r := x.observed("a1", opus, signal(events.ClassBadRequest, events.ScopeNone))
	r.Status = 429
	res := x.tell(r)
	x.effect(res, events.EffectNone, events.WhyNotBlocking)
	x.usable(opus, "a1", "a2")
	served := x.observed("a1", opus, quota(600))
	served.Status = 200 // an error inside a stream that began well
	x.effect(x.tell(served), events.EffectStarted)
}

func TestRule15FaultsOfOthersBlockNothing(t *testing.T) {
	x := newScenario(t)
	for _, status := range []int{0, 400, 404, 408, 499, 500, 503, 529} {
		for _, class := range []events.Class{events.ClassServerError, events.ClassOverloaded, events.ClassBadRequest, events.ClassNotFound} {
			for _, scope := range []events.Scope{events.ScopeNone, events.ScopeGroup, events.ScopeAccount} {
				r := x.observed("a1", opus, signal(class, scope, 600))
				r.Status = status
				x.nothing(r)
				x.usable(opus, "a1", "a2")
			}
		}
	}
	x.report("a1", opus, capacity())
	x.status("a1", "claude", StatusAvailable)
	between(t, "a shortage's end", x.until("a1", "model:"+opus), 5*time.Second, 6*time.Second)
	x.at(time.Minute).report("a1", opus, capacity(86400))
	between(t, "the bound of a shortage", x.until("a1", "model:"+opus), 6*time.Minute, 6*time.Minute)
}

func TestRule15Operations(t *testing.T) {
	auth := signal(events.ClassAuth, events.ScopeAccount)
	tests := []struct {
		op     events.Operation
		signal events.Signal
		status int
		effect events.Effect
		kept   bool // a record
	}{
		{events.OpGenerate, quota(600), 429, events.EffectStarted, true},
		{"", quota(600), 429, events.EffectStarted, true}, // generate
		{events.OpCountTokens, quota(600), 429, events.EffectStarted, true},
		{events.OpCountTokens, quota(600), 403, events.EffectNone, false},
		{events.OpCountTokens, signal(events.ClassNotFound, events.ScopeNone), 404, events.EffectNone, false},
		{events.OpUsage, quota(600), 429, events.EffectNone, true},
		{events.OpToken, signal(events.ClassRateLimited, events.ScopeAccount, 60), 429, events.EffectNone, true},
		{events.OpOther, capacity(60), 503, events.EffectNone, false},
		{events.OpToken, auth, 401, events.EffectNone, true}, // counted
		{events.OpToken, banned(), 403, events.EffectHeld, true},
		{events.OpUsage, banned(), 403, events.EffectHeld, true},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.op, " ", test.signal.Class, " ", test.status), func(t *testing.T) {
			x := newScenario(t)
			r := x.observed("a1", opus, test.signal)
			r.Operation, r.Status = test.op, test.status
			d := x.do(r)
			if d.Report.Effect != test.effect || len(d.Drafts) > 0 != test.kept {
				t.Errorf("effect %s %q, %d drafts; want %s, a record: %t", d.Report.Effect, d.Report.Why, len(d.Drafts), test.effect, test.kept)
			}
		})
	}
}

func TestRule15OnlyGenerateRecovers(t *testing.T) {
	for _, op := range events.Operations() {
		x := newScenario(t)
		x.report("a1", opus, quota(600))
		r := x.at(time.Minute).observed("a1", opus, ok())
		r.Operation = op
		if op == events.OpGenerate {
			x.effect(x.tell(r), events.EffectRecovered)
		} else {
			x.nothing(r)
			x.status("a1", "claude", StatusCooling)
		}
	}
}

func TestRule14AuthBlocksWhenRepeated(t *testing.T) {
	auth := signal(events.ClassAuth, events.ScopeAccount)
	x := newScenario(t)
	r := x.report("a1", opus, auth)
	x.effect(r, events.EffectNone, events.WhyFirstAuth)
	if r.Advice.Action != ActionRefreshAuth {
		t.Errorf("advice %s, want refresh_auth", r.Advice.Action)
	}
	x.at(11 * time.Minute)
	x.effect(x.report("a1", opus, auth), events.EffectNone, events.WhyFirstAuth) // the first is forgotten
	x.at(21 * time.Minute)
	x.effect(x.report("a1", opus, auth), events.EffectStarted)
	between(t, "the cooldown", x.until("a1", "*")-21*time.Minute, time.Minute, time.Minute)
	x.effect(x.report("a1", opus, auth), events.EffectKept)
	grant := signal(events.ClassAuth, events.ScopeAccount)
	grant.Reason = events.ReasonInvalidGrant
	x.effect(x.report("a2", opus, grant), events.EffectHeld) // a human must act: at once
}

func TestRule14Holds(t *testing.T) {
	x := newScenario(t)
	r := x.report("a1", opus, banned())
	x.effect(r, events.EffectHeld)
	if !r.Until.IsZero() || r.Target != "*" || r.Advice.Action != ActionHuman {
		t.Errorf("answer %+v, want a hold on everything without an end", r)
	}
	x.nothing(x.observed("a1", opus, banned())) // the hold covers it
	x.at(1000 * time.Hour)
	x.nothing(&Expire{})
	x.usable(opus, "a2")
	x.do(clearCell("a1", "*"))
	x.usable(opus, "a1", "a2")
}

func TestRule36Advice(t *testing.T) {
	reason := func(s events.Signal, r string) events.Signal {
		s.Reason = r
		return s
	}
	tests := []struct {
		name   string
		signal events.Signal
		want   Advice
	}{
		{"served", ok(), Advice{Action: ActionStop}},
		{"quota", quota(600), Advice{ActionRetryOther, 10 * time.Minute}},
		{"a rate limit of this request alone", signal(events.ClassRateLimited, events.ScopeNone, 3), Advice{ActionRetrySame, 3 * time.Second}},
		{"overloaded", signal(events.ClassOverloaded, events.ScopeNone), Advice{ActionRetrySame, time.Second}},
		{"capacity", capacity(20), Advice{ActionRetryOther, 20 * time.Second}},
		{"server error", signal(events.ClassServerError, events.ScopeNone), Advice{Action: ActionRetryOther}},
		{"bad request", signal(events.ClassBadRequest, events.ScopeNone), Advice{Action: ActionStop}},
		{"not found", signal(events.ClassNotFound, events.ScopeNone), Advice{Action: ActionStop}},
		{"auth", signal(events.ClassAuth, events.ScopeAccount), Advice{Action: ActionRefreshAuth}},
		{"banned", banned(), Advice{Action: ActionHuman}},
		{"a refused request", reason(signal(events.ClassForbidden, events.ScopeNone), events.ReasonRequestRefused), Advice{Action: ActionStop}},
		{"payment", signal(events.ClassPayment, events.ScopeAccount), Advice{ActionRetryOther, time.Hour}},
	}
	for _, test := range tests {
		x := newScenario(t)
		got := x.report("a1", opus, test.signal).Advice
		if slack := got.After - test.want.After; slack >= 0 && slack <= 30*time.Second {
			got.After = test.want.After // the jitter
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}
