package signal

import (
	"strings"

	"github.com/abeyance/abeyance/events"
)

// opencode reads OpenCode Zen and Go. Errors are named by type, at times with
// status 200, and state their wait in words: "Resets in 19hr".
var opencode = family{name: "opencode", hints: generalHints, judge: opencodeJudge}

func opencodeJudge(a *answer) verdict {
	switch kind := a.problem.kind; {
	case strings.HasSuffix(kind, "UsageLimitError"): // Free, Go, Subscription
		w := windowIn(asciiLower(a.problem.top.get("metadata").get("limitName").string()))
		if w == events.WindowUnknown {
			w = a.window()
		}
		return quota("usage_limit", events.ScopeAccount).because(events.ReasonQuotaNamed).over(w)
	case kind == "CreditsError", kind == "MonthlyLimitError", kind == "UserLimitError":
		return payment("credits").over(a.window())
	case kind == "AuthError":
		return auth("auth_error")
	case kind == "ModelError":
		return notFound("model")
	case a.status == 403 && a.says("can only be used from within"):
		return refused("client_gate", events.ClassForbidden)
	case a.says("error from provider"):
		// A provider behind it refused OpenCode's own account, not this one.
		if v := a.byStatus(); v.class == events.ClassRateLimited || v.class == events.ClassPayment {
			return rateLimited("upstream", events.ScopeModel)
		}
	}
	return generalJudge(a)
}

// cliproxy reads a CLIProxyAPI upstream: a pool as a whole, which says when one of
// its own credentials is back.
var cliproxy = family{name: "cliproxyapi", hints: cliproxyHints, judge: cliproxyJudge}

// cliproxyHints prefers the whole seconds over the duration, which is cut.
func cliproxyHints(a *answer) {
	a.delay("error.reset_seconds", a.problem.field("reset_seconds").text(), 1)
	a.delay("error.reset_time", a.problem.field("reset_time").text(), 1)
	a.instant(sourceResetsAt, a.problem.field("resets_at").text(), utc)
	a.delay("error.resets_in_seconds", a.problem.field("resets_in_seconds").text(), 1)
	a.retryAfter()
	a.sentence(utc)
	a.buckets()
}

func cliproxyJudge(a *answer) verdict {
	switch {
	case a.coded("model_cooldown"):
		a.note("model", a.problem.field("model").text())
		if d := a.longest(); d > 0 && d <= promoteAfter {
			return rateLimited("model_cooldown_short", events.ScopeModel)
		}
		return quota("model_cooldown", events.ScopeModel).because(events.ReasonQuotaNamed).of(namedModel(a.problem.field("model").text()))
	case a.coded("auth_unavailable", "auth_not_found"):
		return serverError("no_credential")
	}
	return generalJudge(a)
}
