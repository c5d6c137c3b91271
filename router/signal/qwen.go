package signal

import (
	"strings"

	"github.com/abeyance/abeyance/events"
)

// qwen reads Qwen with OAuth and DashScope behind it.
var qwen = family{name: "qwen", hints: generalHints, judge: qwenJudge}

// qwenJudge: insufficient_quota is the free quota of the day, not money as with
// OpenAI; it comes as 403 and as 429. "Free allocated quota exceeded" is also said
// of a minute, so it names no window. "Allocated quota exceeded" without a word
// before it is the limit of tokens per minute, whatever code comes with it.
func qwenJudge(a *answer) verdict {
	code := asciiLower(a.problem.code)
	if before, _, ok := strings.Cut(a.low, "allocated quota exceeded"); ok && a.limits() {
		switch strings.TrimSpace(before) {
		case "hour":
			return quota("plan_window", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowFiveHour)
		case "week":
			return quota("plan_window", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowWeekly)
		case "month":
			return quota("plan_window", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowMonthly)
		case "":
			return a.promoted(rateLimited("allocated_quota", events.ScopeModel), events.ScopeModel)
		}
	}
	switch {
	case strings.HasSuffix(code, "freetieronly"), code == "arrearage":
		return payment("free_tier_over")
	case strings.HasPrefix(code, "throttling"), code == "limit_requests", code == "limit_burst_rate":
		return rateLimited("throttling", events.ScopeModel)
	case a.says("free allocated quota exceeded"):
		return quota("free_allocated", events.ScopeAccount).because(events.ReasonQuotaNamed)
	case a.coded("insufficient_quota"):
		return quota("insufficient_quota", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowDaily)
	case a.status == 429 && a.says("daily limit", "requests per day", "quota"):
		return quota("text_quota", events.ScopeAccount).over(a.window())
	case a.says("invalid access token", "token expired"):
		return auth("access_token")
	}
	return generalJudge(a)
}
