package signal

import (
	"strconv"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// minimax reads MiniMax, which answers 200 with a code in base_resp, and in its
// Anthropic-compatible form puts the code behind the message: "... (2056)".
var minimax = family{name: "minimax", hints: generalHints, judge: minimaxJudge}

func minimaxJudge(a *answer) verdict {
	switch a.minimaxCode() {
	case 2056:
		w := a.window()
		if w == events.WindowUnknown {
			w = events.WindowFiveHour
		}
		return quota("plan_window", events.ScopeAccount).because(events.ReasonQuotaNamed).over(w)
	case 1002, 1039, 2045:
		return rateLimited("burst", events.ScopeModel)
	case 1041:
		return rateLimited("connections", events.ScopeAccount)
	case 1008:
		return payment("balance")
	case 1004, 2049:
		return auth("key")
	case 1026, 1027, 1042, 1043, 1044, 2013:
		return badRequest("request_code")
	case 2061:
		v := forbidden("model_not_in_plan", events.ReasonRequestRefused)
		v.scope = events.ScopeModel
		return v
	case 1000, 1001, 1013, 1024, 1033:
		return serverError("server_code")
	}
	if a.limits() && a.says("usage limit exceeded", "usage limit reached") {
		return quota("text_window", events.ScopeAccount).over(a.window())
	}
	return generalJudge(a)
}

// minimaxCode is the code in base_resp or behind the message, 0 if there is none.
func (a *answer) minimaxCode() int {
	for _, s := range [...]string{a.problem.code, a.problem.kind} {
		if n, err := strconv.Atoi(s); err == nil && n >= 1000 {
			return n
		}
	}
	m := strings.TrimRight(a.problem.message, ". ")
	if open := strings.LastIndexByte(m, '('); open >= 0 && strings.HasSuffix(m, ")") {
		if n, err := strconv.Atoi(m[open+1 : len(m)-1]); err == nil && n >= 1000 && n < 10000 {
			return n
		}
	}
	return 0
}

// iflow reads iFlow, which answers 200 with a status of its own as a string. Those
// below 500 mostly follow HTTP's.
var iflow = family{name: "iflow", hints: generalHints, judge: iflowJudge}

func iflowJudge(a *answer) verdict {
	switch a.status {
	case 449:
		return rateLimited("status_449", events.ScopeModel)
	case 434, 439:
		return auth("api_key")
	case 435:
		return notFound("model")
	}
	return generalJudge(a)
}
