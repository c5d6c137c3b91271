package signal

import (
	"strings"

	"github.com/abeyance/abeyance/events"
)

// verdict is what a rule concludes; the hints are the answer's.
type verdict struct {
	class  events.Class
	scope  events.Scope
	rule   string // within the family: "quota_exhausted"
	reason string
	family string
	window events.Window
}

// none reports that no rule fired.
func (v verdict) none() bool { return v.class == "" }

// The verdicts that several families reach. The argument is the rule's name.
func quota(rule string, s events.Scope) verdict {
	return verdict{class: events.ClassQuotaExhausted, scope: s, rule: rule}
}

func rateLimited(rule string, s events.Scope) verdict {
	return verdict{class: events.ClassRateLimited, scope: s, rule: rule}
}

func capacity(rule string) verdict {
	return verdict{class: events.ClassCapacity, scope: events.ScopeModel, rule: rule}
}

func overloaded(rule string) verdict {
	return verdict{class: events.ClassOverloaded, scope: events.ScopeNone, rule: rule}
}

func auth(rule string) verdict {
	return verdict{class: events.ClassAuth, scope: events.ScopeAccount, rule: rule}
}

func payment(rule string) verdict {
	return verdict{class: events.ClassPayment, scope: events.ScopeAccount, rule: rule}
}

func forbidden(rule, reason string) verdict {
	return verdict{class: events.ClassForbidden, scope: events.ScopeAccount, rule: rule, reason: reason}
}

func notFound(rule string) verdict {
	return verdict{class: events.ClassNotFound, scope: events.ScopeNone, rule: rule}
}

func badRequest(rule string) verdict {
	return verdict{class: events.ClassBadRequest, scope: events.ScopeNone, rule: rule, reason: events.ReasonRequestRefused}
}

func serverError(rule string) verdict {
	return verdict{class: events.ClassServerError, scope: events.ScopeNone, rule: rule}
}

// refused is an answer dressed as a limit that refuses the shape of the request:
// another account would refuse it too, this one serves other requests.
func refused(rule string, class events.Class) verdict {
	return verdict{class: class, scope: events.ScopeNone, rule: rule, reason: events.ReasonRequestRefused}
}

func (v verdict) over(w events.Window) verdict { v.window = w; return v }

func (v verdict) because(reason string) verdict { v.reason = reason; return v }

func (v verdict) of(family string) verdict { v.family = family; return v }

// promoteAfter is the delay in seconds above which a rate limit is a spent quota:
// gemini-cli and CLIProxyAPI both draw the line at five minutes. Above
// promoteWithin the delay is no statement about a window and promotes nothing.
const (
	promoteAfter  = 300.0
	promoteWithin = 32 * day
)

// promoted turns a rate limit with a long delay into a spent quota of scope s.
func (a *answer) promoted(v verdict, s events.Scope) verdict {
	if d := a.longest(); v.class != events.ClassRateLimited || d <= promoteAfter || d > promoteWithin {
		return v
	}
	v.class, v.scope, v.rule = events.ClassQuotaExhausted, s, v.rule+"_long"
	return v
}

// status is what the HTTP status alone means. It never says that a quota is spent.
func (a *answer) byStatus() verdict {
	switch s := a.status; {
	case s == 400, s == 406, s == 409, s >= 411 && s <= 418, s == 421, s == 422, s == 428, s == 431:
		return badRequest("status_request")
	case s == 401:
		return auth("status_401")
	case s == 402:
		return payment("status_402")
	case s == 403:
		return forbidden("status_403", "")
	case s == 404, s == 405, s == 410:
		return notFound("status_404")
	case s == 429, s == 449:
		return rateLimited("status_429", events.ScopeModel)
	case s == 529:
		return overloaded("status_529")
	}
	return serverError("status_other")
}

// refusesRequest reports whether the status blames the request, so that its message
// may echo text of the prompt and must not be searched.
func (a *answer) refusesRequest() bool {
	switch a.status {
	case 400, 404, 405, 413, 414, 415, 422:
		return true
	}
	return false
}

// codes are the error codes and types whose meaning does not depend on the
// provider, in lower case. Those that say less than the status are not listed:
// DeepSeek sends invalid_request_error with 402, Anthropic's compatibility
// endpoint with 429.
var codes = map[string]verdict{
	"insufficient_quota":           payment("insufficient_quota"),
	"billing_hard_limit_reached":   payment("billing"),
	"billing_not_active":           payment("billing"),
	"billing_error":                payment("billing"),
	"billing_limit_reached":        payment("billing"),
	"insufficient_balance":         payment("balance"),
	"insufficient_credits":         payment("balance"),
	"insufficient_user_quota":      payment("balance"),
	"budget_exceeded":              payment("budget"),
	"accountoverdueerror":          payment("balance"),
	"accountquotaexceeded":         quota("account_quota", events.ScopeAccount).because(events.ReasonQuotaNamed),
	"free_quota_exceeded":          quota("free_quota", events.ScopeAccount).because(events.ReasonQuotaNamed),
	"usage_limit_reached":          quota("usage_limit_reached", events.ScopeModel).because(events.ReasonQuotaNamed),
	"arrearage":                    payment("balance"),
	"authentication_error":         auth("authentication_error"),
	"invalid_api_key":              auth("invalid_api_key"),
	"incorrect_api_key":            auth("invalid_api_key"),
	"api_key_expired":              auth("invalid_api_key"),
	"invalid_authentication":       auth("authentication_error"),
	"invalid_authentication_error": auth("authentication_error"),
	"unauthorized":                 auth("unauthorized"),
	"unauthenticated":              auth("unauthenticated"),
	"token_expired":                auth("token_expired"),
	"token_invalidated":            auth("token_invalidated"),
	"token_revoked":                auth("token_revoked"),
	"invalid_token":                auth("invalid_token"),
	"expired_token":                auth("token_expired"),
	"invalid_grant":                auth("invalid_grant").because(events.ReasonInvalidGrant),
	"refresh_token_expired":        auth("invalid_grant").because(events.ReasonInvalidGrant),
	"refresh_token_reused":         auth("invalid_grant").because(events.ReasonInvalidGrant),
	"refresh_token_invalidated":    auth("invalid_grant").because(events.ReasonInvalidGrant),
	"account_deactivated":          forbidden("account_deactivated", events.ReasonBanned),
	"account_suspended":            forbidden("account_suspended", events.ReasonBanned),
	"account_disabled":             forbidden("account_disabled", events.ReasonBanned),
	"organization_restricted":      forbidden("organization_restricted", events.ReasonBanned),
	"deactivated_workspace":        forbidden("deactivated_workspace", events.ReasonWorkspaceDead),
	"overloaded_error":             overloaded("overloaded_error"),
	"server_is_overloaded":         overloaded("server_is_overloaded"),
	"server_overloaded":            overloaded("server_is_overloaded"),
	"serveroverloaded":             overloaded("server_is_overloaded"),
	"engine_overloaded":            overloaded("engine_overloaded"),
	"engine_overloaded_error":      overloaded("engine_overloaded"),
	"slow_down":                    overloaded("slow_down"),
	"model_overloaded":             capacity("model_overloaded"),
	"model_at_capacity":            capacity("model_at_capacity"),
	"nocapacity":                   capacity("no_capacity"),
	"model_capacity_exhausted":     capacity("model_capacity_exhausted"),
	"context_length_exceeded":      badRequest("context_length"),
	"content_policy_violation":     badRequest("content_policy"),
	"content_filter":               badRequest("content_policy"),
	"request_too_large":            badRequest("too_large"),
	"model_not_found":              notFound("model_not_found"),
	"not_found_error":              notFound("not_found"),
	"rate_limit_exceeded":          rateLimited("rate_limit", events.ScopeModel),
	"rate_limit_error":             rateLimited("rate_limit", events.ScopeModel),
	"rate_limit_reached_error":     rateLimited("rate_limit", events.ScopeModel),
	"rate_limit_reached":           rateLimited("rate_limit", events.ScopeModel),
	"ratelimitreached":             rateLimited("rate_limit", events.ScopeModel),
	"rate_limit":                   rateLimited("rate_limit", events.ScopeModel),
	"rate_limited":                 rateLimited("rate_limit", events.ScopeModel),
	"ratelimiterror":               rateLimited("rate_limit", events.ScopeModel),
	"rate_limit_exceeded_error":    rateLimited("rate_limit", events.ScopeModel),
	"too_many_requests":            rateLimited("rate_limit", events.ScopeModel),
	"toomanyrequests":              rateLimited("rate_limit", events.ScopeModel),
	"throttlingexception":          rateLimited("throttling", events.ScopeModel),
	"throttling":                   rateLimited("throttling", events.ScopeModel),

	"unsupported_country_region_territory": refused("region", events.ClassForbidden),
}

// byCode is the meaning of the error's code, type or reason by the common table.
// A code outweighs a type.
func (a *answer) byCode() verdict {
	if a.status == 413 {
		return verdict{} // a request that is too large also says rate_limit_exceeded
	}
	for _, c := range [...]string{a.problem.code, a.problem.reason, a.problem.kind} {
		if len(c) == 0 || len(c) > 48 {
			continue
		}
		if v, ok := codes[asciiLower(c)]; ok {
			return v
		}
	}
	return verdict{}
}

// byText is the meaning of the message by the common phrases. Only answers that do
// not blame the request are searched.
func (a *answer) byText() verdict {
	if a.refusesRequest() {
		return verdict{}
	}
	switch {
	case a.lacksCapacity():
		return capacity("text_capacity")
	case a.says("overloaded", "too busy", "server is busy", "model busy", "model is busy", "server load", "server overload", "under high load"):
		return overloaded("text_overloaded")
	}
	if a.status >= 500 {
		return verdict{}
	}
	switch {
	case a.says("insufficient balance", "insufficient credit", "credit balance is too low", "out of credits",
		"balance is insufficient", "not enough balance", "overdue balance", "spending limit", "over budget", "余额不足", "欠费"):
		return payment("text_balance")
	case a.status == 401:
		return verdict{}
	case a.says("usage limit", "usage quota", "quota exceeded", "exceeded your quota", "quota has been exhausted", "limit exhausted", "usage cap"):
		return a.byWindow()
	case a.status == 403:
		return a.byRefusal()
	}
	return verdict{}
}

// byRefusal is what the sentence of a 403 refuses: the credential, the money behind
// it, or one model.
func (a *answer) byRefusal() verdict {
	switch {
	case a.says("authentication failed", "authorization failed", "api key is invalid", "invalid api key", "api key is not valid"):
		return auth("text_credential")
	case a.says("额度已用尽", "额度不足", "额度已耗尽"):
		return payment("text_balance")
	case a.says("access to model", "access to the model", "access to this model"):
		v := forbidden("model_access", "") // not the account's to lose, so no hold
		v.scope = events.ScopeModel
		return v
	}
	return verdict{}
}

// lacksCapacity reports the sentences by which a provider says that it lacks
// capacity for a model. Google says "exhausted your capacity" of a quota.
func (a *answer) lacksCapacity() bool {
	return a.says("no capacity available", "at capacity", "capacity exceeded", "high demand", "high traffic",
		"over capacity", "maximum capacity", "model is overloaded", "no available capacity", "负载已饱和", "insufficient capacity", "not enough capacity", "insufficient model capacity")
}

// byWindow is a spent quota whose window the message names, or else a rate limit:
// "usage limit" alone is said of minutes too.
func (a *answer) byWindow() verdict {
	w := a.window()
	if w == events.WindowUnknown {
		return verdict{}
	}
	scope := events.ScopeModel
	if a.says("usage limit", "usage quota", "your plan", "subscription", "usage cap") {
		scope = events.ScopeAccount
	}
	return quota("text_window", scope).over(w)
}

// windowWords are the names of the windows in lower case, the longest window first.
// The adjectives count only before a word of limits: "monthly plan" is an offer.
var windowWords = [...]struct {
	window    events.Window
	adjective string
	words     []string
}{
	{events.WindowMonthly, "monthly", []string{"per month", "permonth", "per_month", "/ month", "this month", "billing cycle", "每月", "本月", "月限"}},
	{events.WindowWeekly, "weekly", []string{"per week", "perweek", "per_week", "7-day", "7 day", "seven_day", "seven day", "this week", "每周", "本周"}},
	{events.WindowDaily, "daily", []string{"per day", "per 1 day", "perday", "per_day", "today's", "per-day", "/day", "/ day", "byday", "24 hour", "24-hour", "(rpd)", "(tpd)", "tpd rate", "rpd rate", "for today", "每日", "每天", "今日"}},
	{events.WindowFiveHour, "5h", []string{"5-hour", "5 hour", "5hour", "five-hour", "five hour", "five_hour", "session usage", "5 小时", "5小时"}},
}

// window is the quota window that the message names.
func (a *answer) window() events.Window {
	if a.named.low != a.low {
		a.named.low, a.named.window = a.low, windowIn(a.low)
	}
	return a.named.window
}

// windowIn is the quota window a text in lower case names, the longest if several.
func windowIn(low string) events.Window {
	for i := range windowWords {
		w := &windowWords[i]
		if limitFollows(low, w.adjective) {
			return w.window
		}
		for _, word := range w.words {
			if strings.Contains(low, word) {
				return w.window
			}
		}
	}
	return events.WindowUnknown
}

// limitFollows reports whether a word of limits stands close behind the adjective, or
// nothing at all.
func limitFollows(low, adjective string) bool {
	for {
		_, after, found := strings.Cut(low, adjective)
		if !found {
			return false
		}
		if after == "" {
			return true
		}
		near := after[:min(len(after), 28)]
		for _, noun := range [...]string{"limit", "quota", "usage", "cap", "allowance", "allocation", "request", "token", "credit", "spend"} {
			if strings.Contains(near, noun) {
				return true
			}
		}
		low = after
	}
}
