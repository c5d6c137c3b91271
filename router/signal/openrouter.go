package signal

import (
	"strings"

	"github.com/abeyance/abeyance/events"
)

// openrouter reads OpenRouter, which passes on the answers of other providers and
// adds limits of its own for models that cost nothing.
var openrouter = family{name: "openrouter", hints: openrouterHints, judge: openrouterJudge}

// freeGroup is the group of all models whose names end in ":free".
const freeGroup = "openrouter-free"

// openrouterHints: the reset in the body's copy of the headers, in milliseconds,
// then the header itself, then the general fields.
func openrouterHints(a *answer) {
	headers := a.problem.obj.get("metadata").get("headers")
	for m := headers.first(); m.t != nil; m = m.next() {
		switch strings.ToLower(m.key()) {
		case "x-ratelimit-reset":
			a.reset("error.metadata.headers.X-RateLimit-Reset", m.text())
		case "retry-after":
			a.delay("error.metadata.headers.Retry-After", m.text(), 1)
		}
	}
	a.note("limit_source", a.limitSource())
	a.retryAfter()
	a.delay("error.metadata.retry_after_seconds", a.problem.obj.get("metadata").get("retry_after_seconds").text(), 1)
	a.sentence(utc)
	a.buckets()
}

func (a *answer) limitSource() string {
	return a.problem.obj.get("metadata").get("limit_source").string()
}

func openrouterJudge(a *answer) verdict {
	source := asciiLower(a.limitSource())
	switch {
	case a.status == 429 && (strings.Contains(source, "free_tier") || a.says("free-models-per-")):
		return a.freeTier(source)
	case a.status == 429 && strings.HasSuffix(asciiLower(a.obs.Model), ":free") && isZeroText(a.get("X-Ratelimit-Remaining")):
		return a.freeTier("") // only headers
	case a.status == 429 && a.says("upstream"), strings.Contains(source, "upstream"):
		return rateLimited("upstream", events.ScopeModel)
	case a.status == 403 && a.says("moderation", "flagged"):
		return badRequest("moderation")
	case a.status == 403 && a.says("key limit exceeded", "limit exceeded"):
		return payment("key_limit").over(a.window())
	case a.status == 402:
		return payment("credits")
	case a.status == 503 && a.says("no available", "no instances", "no allowed providers"):
		return capacity("no_instances")
	}
	return generalJudge(a)
}

// freeTier is the limit over all free models, per minute or per day.
func (a *answer) freeTier(source string) verdict {
	if strings.Contains(source, "daily") || a.says("per-day") || a.longest() > promoteAfter {
		return quota("free_daily", events.ScopeGroup).because(events.ReasonQuotaNamed).of(freeGroup).over(events.WindowDaily)
	}
	return rateLimited("free_minute", events.ScopeGroup).of(freeGroup)
}
