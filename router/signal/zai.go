package signal

import (
	"strconv"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// zai reads Z.ai and BigModel (GLM). Everything comes as 429, or as 200 with a code;
// the code is a number in a string, or stands in front of the message: "[1310][...".
// Resets are wall times without a zone, in China's.
var zai = family{name: "zai", hints: zaiHints, judge: zaiJudge}

func zaiHints(a *answer) {
	a.retryAfter()
	a.bodyDelays()
	a.sentence(chinaTime)
}

// zaiCode is the business code, 0 if there is none.
func (a *answer) zaiCode() int {
	for _, s := range [...]string{a.problem.code, a.problem.kind, strings.TrimPrefix(a.problem.message, "[")} {
		if n, err := strconv.Atoi(s[:min(len(s), 4)]); err == nil && n >= 1000 {
			return n
		}
	}
	return 0
}

// zaiJudge follows the provider's list of error codes.
func zaiJudge(a *answer) verdict {
	code := a.zaiCode()
	switch {
	case code == 1308, code == 1316:
		return quota("window", events.ScopeAccount).because(events.ReasonQuotaNamed).over(a.zaiWindow(events.WindowFiveHour))
	case code == 1310, code == 1317:
		return quota("long_window", events.ScopeAccount).because(events.ReasonQuotaNamed).over(a.zaiWindow(events.WindowWeekly))
	case code == 1304:
		return quota("daily", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowDaily)
	case code == 1302, code == 1303:
		return rateLimited("concurrency", events.ScopeModel)
	case code == 1305:
		return overloaded("overloaded")
	case code == 1312:
		return capacity("high_traffic")
	case code == 1313:
		return rateLimited("fair_usage", events.ScopeAccount)
	case code == 1113, code == 1309:
		return payment("balance")
	case code == 1301, code == 1261, code >= 1210 && code <= 1215 && code != 1211:
		return badRequest("request_code")
	}
	return a.zaiRest(code)
}

// zaiRest reads the codes about accounts and models.
func (a *answer) zaiRest(code int) verdict {
	switch {
	case code == 1211, code == 1221, code == 1222:
		return notFound("model")
	case code == 1311, code == 1220:
		v := forbidden("model_not_in_plan", events.ReasonRequestRefused)
		v.scope = events.ScopeModel
		return v
	case code >= 1000 && code <= 1004:
		return auth("token")
	case code == 1120:
		return serverError("account_service")
	case code >= 1110 && code <= 1112, code == 1121:
		return forbidden("account_state", events.ReasonBanned)
	case a.limits() && a.says("limit exhausted", "usage limit reached", "使用上限"):
		return quota("text_window", events.ScopeAccount).over(a.zaiWindow(events.WindowUnknown))
	}
	return generalJudge(a)
}

// zaiWindow is the window the sentence names. "Weekly/Monthly" names two; there the
// distance of the reset tells, where it is known.
func (a *answer) zaiWindow(otherwise events.Window) events.Window {
	w := a.window()
	switch {
	case w == events.WindowMonthly && a.says("weekly"):
		if a.longest() > 8*day {
			return events.WindowMonthly
		}
		return events.WindowWeekly
	case w == events.WindowUnknown:
		return otherwise
	}
	return w
}
