package signal

import (
	"github.com/abeyance/abeyance/events"
)

// mistral reads Mistral's API.
var mistral = family{name: "mistral", hints: mistralHints, judge: mistralJudge}

func mistralHints(a *answer) {
	a.retryAfter()
	a.delay("header:ratelimitbysize-reset", a.get("Ratelimitbysize-Reset"), 1)
	a.sentence(utc)
	a.buckets()
}

// mistralJudge: "service tier capacity" is the backend's, not the account's, whatever
// type comes with it.
func mistralJudge(a *answer) verdict {
	switch {
	case a.coded("3505", "service_tier_capacity_exceeded"), a.status >= 429 && a.lacksCapacity():
		return capacity("service_tier")
	case a.says("inactive subscription"):
		return payment("subscription")
	case a.status != 429:
		return a.byCodeOrStatus()
	}
	if w := a.window(); w == events.WindowMonthly || w == events.WindowDaily {
		return quota("text_window", events.ScopeAccount).over(w)
	}
	if v := a.byCode(); !v.none() && v.class != events.ClassRateLimited {
		return v
	}
	return a.promoted(rateLimited("rate_limited", events.ScopeAccount), events.ScopeAccount)
}
