package signal

import (
	"strings"

	"github.com/abeyance/abeyance/events"
)

// openai reads the OpenAI API and Azure's copy of it. Their limits refill all the
// time: the wait they state buys the next request and not a whole window, so a long
// one does not make the limit a spent quota.
var openai = family{name: "openai", hints: generalHints, judge: openaiJudge}

// groq speaks OpenAI's format, but has windows of a day that do not refill.
var groq = family{name: "groq", hints: generalHints, judge: groqJudge}

// githubModels is GitHub's catalogue of models, with limits per minute and per day.
var githubModels = family{name: "github-models", hints: generalHints, judge: githubModelsJudge}

func openaiJudge(a *answer) verdict {
	switch {
	case a.tooLarge():
		return badRequest("request_too_large")
	case a.status == 429 && a.moreThanLimit():
		return badRequest("request_over_limit")
	case a.says("out of call volume quota"): // Azure's API gateway, as 403
		return quota("call_volume", events.ScopeAccount).because(events.ReasonQuotaNamed)
	case a.status == 403 && a.says("account has been deactivated", "account has been suspended"):
		return forbidden("account_deactivated", events.ReasonBanned)
	case a.status >= 500 && a.says("overloaded", "at capacity"):
		return overloaded("text_overloaded")
	case a.status == 429 && a.lacksCapacity():
		return capacity("text_capacity")
	}
	if v := a.byCode(); !v.none() {
		return v
	}
	if v := a.byText(); v.class == events.ClassPayment || v.class == events.ClassOverloaded {
		return v
	}
	return a.byStatus()
}

// tooLarge reports whether the message blames the size of this one request.
func (a *answer) tooLarge() bool {
	return strings.HasPrefix(a.low, "request too large") || a.status == 413
}

// moreThanLimit reports whether the message says that this request alone asks for
// more than the limit: "Limit 30000, Requested 30601".
func (a *answer) moreThanLimit() bool {
	limit, ok := numberAfter(a.low, "limit ")
	asked, ok2 := numberAfter(a.low, "requested ")
	return ok && ok2 && asked > limit
}

// numberAfter reads the number that follows a word and perhaps a "~".
func numberAfter(low, word string) (float64, bool) {
	for {
		_, after, found := strings.Cut(low, word)
		if !found {
			return 0, false
		}
		if n, _, ok := leadingNumber(strings.TrimLeft(after, "~ ")); ok {
			return n, true
		}
		low = after
	}
}

// groqJudge: tokens and requests per day are a spent quota, also with a short wait.
// A request that is larger than the limit is told to wait; it is refused as too
// large only where the answer says so.
func groqJudge(a *answer) verdict {
	if a.tooLarge() {
		return badRequest("request_too_large")
	}
	return generalJudge(a)
}

func githubModelsJudge(a *answer) verdict {
	kind := asciiLower(a.get("X-Ratelimit-Type"))
	switch {
	case a.coded("tokens_limit_reached"):
		return badRequest("tokens_limit")
	case a.coded("no_access"):
		v := forbidden("model_access", "")
		v.scope = events.ScopeModel
		return v
	case a.status != 429:
	case strings.HasSuffix(kind, "byday"), a.says("byday"):
		return quota("by_day", events.ScopeModel).because(events.ReasonQuotaNamed).over(events.WindowDaily)
	case strings.HasSuffix(kind, "byminute"), a.says("byminute", "concurrent"):
		return rateLimited("by_minute", events.ScopeModel)
	}
	return generalJudge(a)
}
