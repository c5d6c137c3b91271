package signal

import (
	"github.com/abeyance/abeyance/events"
)

// kimi reads Kimi Code, a plan, and the Moonshot API, which share their errors. All
// limits are those of the account or its organisation.
var kimi = family{name: "kimi", hints: generalHints, judge: kimiJudge}

// kimiJudge: access_terminated_error is a spent window and no ban. The same type
// refuses clients that are no coding agents, which says nothing about the account.
func kimiJudge(a *answer) verdict {
	switch {
	case a.says("only available for coding agents", "currently only available for"):
		return refused("client_gate", events.ClassForbidden)
	case a.coded("access_terminated_error") && a.says("concurren"):
		return rateLimited("concurrency", events.ScopeAccount)
	case a.coded("access_terminated_error"):
		return quota("access_terminated", events.ScopeAccount).because(events.ReasonQuotaNamed).over(a.window())
	case a.coded("exceeded_current_quota_error") && !a.says("usage limit", "billing cycle"):
		return payment("current_quota")
	case a.status == 402, a.says("membership benefits"):
		return payment("membership")
	case a.status != 429:
		return a.byCodeOrStatus()
	case a.coded("engine_overloaded_error"), a.says("receiving too many requests", "overloaded"):
		return overloaded("server_load")
	case a.says("tpd", "rpd", "per day"):
		return quota("per_day", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowDaily)
	case a.says("usage limit", "billing cycle", "quota will reset", "quota exceeded"):
		return quota("usage_limit", events.ScopeAccount).over(a.window())
	}
	return a.promoted(rateLimited("organization", events.ScopeAccount), events.ScopeAccount)
}

// byCodeOrStatus is what the common codes say, else the status.
func (a *answer) byCodeOrStatus() verdict {
	if v := a.byCode(); !v.none() {
		return v
	}
	if v := a.byText(); !v.none() {
		return v
	}
	return a.byStatus()
}
