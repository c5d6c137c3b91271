package signal

import (
	"strings"

	"github.com/abeyance/abeyance/events"
)

// copilot reads GitHub Copilot, and api.github.com, where its tokens come from.
var copilot = family{name: "copilot", hints: copilotHints, judge: copilotJudge}

// copilotHints: the standard headers; GitHub's reset, which is an epoch, only where
// nothing is left; and prose, which is the only place of waits over hours.
func copilotHints(a *answer) {
	a.retryAfter()
	a.sentence(utc)
	a.buckets()
}

// copilotJudge goes by the code up to its colon. The same code is sent for bursts
// and for the windows of five hours and a week; a header and the wait tell them apart.
func copilotJudge(a *answer) verdict {
	code, _, _ := strings.Cut(asciiLower(a.problem.code), ":")
	a.note("exceeded", a.get("X-Ratelimit-Exceeded"))
	switch code {
	case "user_weekly_rate_limited":
		return quota("weekly", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowWeekly)
	case "user_global_rate_limited":
		return a.copilotGlobal()
	case "user_model_rate_limited":
		return a.promoted(rateLimited("user_model", events.ScopeModel), events.ScopeModel)
	case "integration_rate_limited", "agent_mode_limit_exceeded":
		return a.promoted(rateLimited(code, events.ScopeAccount), events.ScopeAccount)
	case "model_overloaded", "upstream_provider_rate_limit":
		return capacity(code)
	case "session_quota_exceeded":
		return quota(code, events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowFiveHour)
	case "quota_exceeded", "free_quota_exceeded", "overage_limit_reached", "additional_spend_limit_reached":
		return quota(code, events.ScopeGroup).because(events.ReasonQuotaNamed).of("copilot-premium").over(events.WindowMonthly)
	case "billing_not_configured":
		return payment("billing_not_configured")
	}
	if code == "" && a.status == 429 && strings.HasPrefix(asciiLower(a.get("X-Ratelimit-Exceeded")), "global") {
		return a.copilotGlobal()
	}
	for _, rule := range [...]func(*answer) verdict{copilotText, githubLimit, copilotAccess} {
		if v := rule(a); !v.none() {
			return v
		}
	}
	if v := a.byCode(); !v.none() && a.status != 402 {
		return a.promoted(v, events.ScopeAccount)
	}
	return a.promoted(a.byStatus(), events.ScopeAccount)
}

// copilotGlobal is the limit over all models: a burst, five hours, or a week.
func (a *answer) copilotGlobal() verdict {
	exceeded := asciiLower(a.get("X-Ratelimit-Exceeded"))
	wait, window := a.longest(), a.window()
	switch {
	case strings.Contains(exceeded, "tps"), strings.Contains(exceeded, "rps"):
		return rateLimited("global_burst", events.ScopeAccount)
	case window != events.WindowUnknown:
		return quota("global_window", events.ScopeAccount).because(events.ReasonQuotaNamed).over(window)
	case wait > 0 && wait <= promoteAfter:
		return rateLimited("global_burst", events.ScopeAccount)
	case wait > 6*hour, strings.Contains(exceeded, "week"):
		return quota("global_window", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowWeekly)
	case wait > 0, exceeded != "":
		return quota("global_window", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowFiveHour)
	}
	return rateLimited("global", events.ScopeAccount)
}

// copilotText reads answers whose code says less than their sentence, or that have
// no code: the completions proxy sends plain text.
func copilotText(a *answer) verdict {
	switch {
	case !a.refusesRequest() && a.lacksCapacity():
		return capacity("text_capacity")
	case a.status == 402 && a.says("quota"), a.status == 429 && a.says("quota exceeded", "no quota", "premium request"):
		return quota("text_quota", events.ScopeGroup).over(events.WindowMonthly)
	case a.status == 429 && a.says("weekly rate limit", "weekly limit"):
		return quota("text_weekly", events.ScopeAccount).over(events.WindowWeekly)
	}
	return verdict{}
}

// githubLimit reads the limits of api.github.com, sent as 403 or 429.
func githubLimit(a *answer) verdict {
	if a.status != 403 && a.status != 429 {
		return verdict{}
	}
	if a.says("secondary rate limit", "api rate limit exceeded", "abuse detection") ||
		a.status == 403 && isZeroText(a.get("X-Ratelimit-Remaining")) {
		return rateLimited("github", events.ScopeAccount)
	}
	return verdict{}
}

func copilotAccess(a *answer) verdict {
	notice := asciiLower(a.problem.field("error_details").get("notification_id").text())
	switch {
	case a.status != 403 && a.status != 401:
	case strings.Contains(notice, "no_copilot_access"), strings.Contains(notice, "subscription_ended"), a.says("no access to github copilot", "not have access to github copilot", "not licensed to use copilot"):
		return forbidden("no_access", events.ReasonNotEntitled)
	case a.says("suspended", "terms of service"):
		return forbidden("suspended", events.ReasonBanned)
	}
	return verdict{}
}
