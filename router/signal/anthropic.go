package signal

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// anthropic reads the Anthropic API with a key, and servers that imitate it.
var anthropic = family{name: "anthropic", hints: anthropicHints, judge: anthropicJudge}

// anthropicHints: Retry-After, then the resets of the buckets that are empty, the
// latest first.
func anthropicHints(a *answer) {
	a.retryAfter()
	a.apiBuckets()
	a.bodyDelays()
	a.sentence(utc)
	a.buckets()
}

// apiBuckets reads the buckets of the API. A request needs room in all of them, so
// the latest reset of the empty ones counts.
func (a *answer) apiBuckets() {
	type bucket struct {
		name, reset string
		at          time.Time
		empty       bool
	}
	var buckets []bucket
	for _, name := range [...]string{"Requests", "Tokens", "Input-Tokens", "Output-Tokens"} {
		reset := a.get("Anthropic-Ratelimit-" + name + "-Reset")
		if reset == "" {
			continue
		}
		at, _ := readInstant(reset, utc)
		empty := isZeroText(a.get("Anthropic-Ratelimit-" + name + "-Remaining"))
		buckets = append(buckets, bucket{asciiLower(name), reset, at, empty})
	}
	slices.SortStableFunc(buckets, func(x, y bucket) int {
		if x.empty != y.empty {
			return cmp.Compare(boolInt(y.empty), boolInt(x.empty))
		}
		return y.at.Compare(x.at)
	})
	for _, b := range buckets {
		from := len(a.hints)
		a.instant("header:anthropic-ratelimit-"+b.name+"-reset", b.reset, utc)
		if !b.empty {
			a.setAside(from)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// anthropicCommon reads what Anthropic says in the same words to keys and to
// subscriptions.
func anthropicCommon(a *answer) verdict {
	switch {
	case a.status == 529, a.coded("overloaded_error"), a.status >= 500 && a.says("overloaded"):
		return overloaded("overloaded")
	case a.status >= 500:
		return serverError("api_error")
	}
	for _, rule := range [...]func(*answer) verdict{anthropicGate, anthropicMoney, anthropicAccess} {
		if v := rule(a); !v.none() {
			return v
		}
	}
	return verdict{}
}

// anthropicGate reads refusals of the request's shape that are dressed as limits.
func anthropicGate(a *answer) verdict {
	switch {
	case a.says("third-party apps now draw from"):
		return refused("third_party_app", events.ClassPayment)
	case a.says("required for long context", "required for fast mode", "required for 1m context"),
		a.says("extra usage is required", "usage credits are required"):
		return refused("entitlement", events.ClassPayment)
	}
	return verdict{}
}

func anthropicMoney(a *answer) verdict {
	switch {
	case a.says("out of extra usage"):
		return quota("out_of_extra_usage", events.ScopeAccount).because(events.ReasonQuotaNamed)
	case a.says("credit balance is too low"), a.coded("billing_error"):
		return payment("credit_balance")
	case a.says("specified api usage limits", "specified workspace api usage limits"):
		return payment("usage_limit_set").over(events.WindowMonthly)
	}
	return verdict{}
}

func anthropicAccess(a *answer) verdict {
	switch {
	case a.says("organization has been disabled", "account has been disabled", "account has been suspended", "been banned"):
		return forbidden("disabled", events.ReasonBanned)
	case a.says("token has been revoked"):
		return auth("token_revoked")
	case a.coded("invalid_grant"):
		return auth("invalid_grant").because(events.ReasonInvalidGrant)
	case a.status == 401, a.coded("authentication_error"):
		return auth("authentication_error")
	case a.says("currently not allowed for this organization"):
		return forbidden("oauth_not_allowed", events.ReasonNotEntitled)
	}
	return verdict{}
}

// anthropicJudge: limits of a key hold per class of model, by minute or by day.
func anthropicJudge(a *answer) verdict {
	if v := anthropicCommon(a); !v.none() {
		return v
	}
	limited := a.status == 429 || a.coded("rate_limit_error")
	if limited && strings.Contains(a.low, "daily rate limit") {
		return quota("daily", events.ScopeModel).because(events.ReasonQuotaNamed).over(events.WindowDaily)
	}
	if limited && a.says("per minute") {
		return a.promoted(rateLimited("per_minute", events.ScopeModel), events.ScopeModel)
	}
	return generalJudge(a)
}
