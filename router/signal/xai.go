package signal

import (
	"strings"

	"github.com/abeyance/abeyance/events"
)

// xai reads Grok. Its errors are flat, {"code", "error": sentence}, and its codes
// are paths: "subscription:free-usage-exhausted".
var xai = family{name: "xai", hints: generalHints, judge: xaiJudge}

func xaiJudge(a *answer) verdict {
	code := asciiLower(a.problem.code)
	switch {
	case strings.HasSuffix(code, "free-usage-exhausted"), a.status == 429 && a.says("included free usage"):
		return quota("free_usage", events.ScopeGroup).because(events.ReasonQuotaNamed).over(events.WindowDaily)
	case strings.HasPrefix(code, "unauthenticated"), a.says("incorrect api key"), a.status == 401:
		return auth("unauthenticated")
	case a.refusesRequest():
		return a.byStatus()
	case a.says("all available credits", "monthly spending limit", "any credits or licenses", "credits or licenses", "purchase more credits", "run out of credits"),
		strings.HasSuffix(code, "spending-limit"):
		return payment("credits")
	case a.says("usage guidelines", "content violates"):
		return badRequest("content")
	case strings.HasPrefix(code, "subscription:") && strings.HasSuffix(code, "exhausted"):
		return quota("subscription", events.ScopeGroup).because(events.ReasonQuotaNamed).over(a.window())
	}
	return generalJudge(a)
}
