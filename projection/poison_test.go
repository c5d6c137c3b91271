package projection

import (
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// plainLimit is a 429 that names neither a quota nor a reset, for one request.
func (x *scenario) plainLimit(account, request string) *Report {
	r := x.observed(account, opus, signal(events.ClassRateLimited, events.ScopeModel))
	r.RequestID = request
	return r
}

func sixAccounts(t *testing.T) *scenario {
	x := newScenario(t)
	for _, id := range []string{"a3", "a4", "a5", "a6"} {
		x.add(id, "antigravity")
	}
	return x
}

func TestRule22PoisonRequestStopsAfterThree(t *testing.T) {
	x := sixAccounts(t)
	for _, id := range []string{"a1", "a2", "a3"} {
		x.effect(x.tell(x.plainLimit(id, "bad")), events.EffectStarted)
	}
	for _, id := range []string{"a4", "a5"} {
		res := x.tell(x.plainLimit(id, "bad"))
		x.effect(res, events.EffectNone, events.WhyPoison)
		if res.Advice.Action != ActionStop {
			t.Errorf("the advice for a poison request is %q", res.Advice.Action)
		}
	}
	x.usable(opus, "a4", "a5", "a6")
	// Another request of the same accounts is judged by itself.
	x.effect(x.tell(x.plainLimit("a4", "good")), events.EffectStarted)
	// So is one without an id: nothing ties it to the others.
	x.effect(x.tell(x.plainLimit("a5", "")), events.EffectStarted)
}

func TestRule22ARefusalWithItsOwnResetIsNeverPoison(t *testing.T) {
	spent := func(x *scenario, id string) *Report {
		r := x.observed(id, opus, quota(600))
		r.RequestID = "many"
		return r
	}
	x := sixAccounts(t)
	for _, id := range []string{"a1", "a2", "a3", "a4", "a5", "a6"} {
		x.effect(x.tell(spent(x, id)), events.EffectStarted)
	}

	// One answer that named a quota clears the request, whatever its neighbours said.
	x = sixAccounts(t)
	named := x.plainLimit("a1", "mixed")
	named.Signal.Reason = events.ReasonQuotaNamed
	x.tell(named)
	for _, id := range []string{"a2", "a3", "a4", "a5", "a6"} {
		x.effect(x.tell(x.plainLimit(id, "mixed")), events.EffectStarted)
	}

	// The fourth answer names its reset: it is the account's own.
	x = sixAccounts(t)
	for _, id := range []string{"a1", "a2", "a3"} {
		x.tell(x.plainLimit(id, "late"))
	}
	own := x.plainLimit("a4", "late")
	own.Signal.Hints = []events.Hint{{Source: "header:retry-after", Raw: "30", Seconds: 30}}
	x.effect(x.tell(own), events.EffectStarted)
}

func TestRule22TimeClassAndPolicy(t *testing.T) {
	x := sixAccounts(t)
	for _, id := range []string{"a1", "a2", "a3"} {
		x.tell(x.plainLimit(id, "slow"))
	}
	x.at(11 * time.Minute)
	x.effect(x.tell(x.plainLimit("a4", "slow")), events.EffectStarted) // the others are too old

	// Another class is another count.
	x = sixAccounts(t)
	for _, id := range []string{"a1", "a2", "a3"} {
		x.tell(x.plainLimit(id, "two"))
	}
	short := x.observed("a4", opus, capacity())
	short.RequestID = "two"
	x.effect(x.tell(short), events.EffectStarted)

	// The same account again is one account.
	x = sixAccounts(t)
	for i := range 4 {
		x.at(time.Duration(i) * time.Minute).do(x.plainLimit("a1", "same"))
	}
	x.effect(x.tell(x.plainLimit("a2", "same")), events.EffectStarted)

	// Zero accounts turn the guard off.
	x = sixAccounts(t)
	x.do(&DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{Poison: &PoisonConfig{Accounts: new(0)}}}})
	for _, id := range []string{"a1", "a2", "a3", "a4", "a5", "a6"} {
		x.effect(x.tell(x.plainLimit(id, "off")), events.EffectStarted)
	}
}
