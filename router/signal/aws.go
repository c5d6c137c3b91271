package signal

import (
	"strings"

	"github.com/abeyance/abeyance/events"
)

// bedrock reads Amazon Bedrock, whose limits hold per region and model.
var bedrock = family{name: "bedrock", hints: generalHints, judge: bedrockJudge}

// amazonQ reads Amazon Q Developer and Kiro, whose limits hold per account and are
// sent as 400, 402 and 429.
var amazonQ = family{name: "amazon-q", hints: generalHints, judge: amazonQJudge}

// exception is the name of the exception in lower case, from the header or the body,
// without the namespace before it and the address behind it.
func (a *answer) exception() string {
	for _, raw := range [...]string{a.get("X-Amzn-Errortype"), a.problem.code, a.problem.kind} {
		if raw == "" {
			continue
		}
		if i := strings.LastIndexByte(raw, '#'); i >= 0 {
			raw = raw[i+1:]
		}
		raw, _, _ = strings.Cut(raw, ":")
		a.note("exception", raw)
		return asciiLower(raw)
	}
	return ""
}

// byException is the meaning of the exceptions common to AWS services. Throttling is
// left to the families.
func (a *answer) byException(name string) verdict {
	switch name {
	case "expiredtokenexception", "expiredtoken", "unrecognizedclientexception", "invalidsignatureexception", "invalidclienttokenid", "missingauthenticationtoken", "unauthorizedexception":
		return auth("credential")
	case "validationexception":
		return badRequest("validation")
	case "resourcenotfoundexception":
		return notFound("resource")
	case "modelnotreadyexception":
		return capacity("model_not_ready")
	case "accessdeniedexception":
		if a.says("access to the model") {
			v := forbidden("model_access", "") // not the account's to lose, so no hold
			v.scope = events.ScopeModel
			return v
		}
		return forbidden("access_denied", "")
	case "internalserverexception", "serviceunavailableexception", "modelerrorexception", "modeltimeoutexception", "modelstreamerrorexception", "internalfailure":
		return serverError("service")
	}
	return verdict{}
}

func bedrockJudge(a *answer) verdict {
	name := a.exception()
	throttled := strings.HasPrefix(name, "throttling") || name == "toomanyrequestsexception" || name == "" && a.status == 429
	switch {
	case name == "servicequotaexceededexception":
		return quota("service_quota", events.ScopeModel).because(events.ReasonQuotaNamed).over(a.window())
	case throttled && a.window() != events.WindowUnknown:
		return quota("per_day", events.ScopeModel).because(events.ReasonQuotaNamed).over(a.window())
	case throttled && a.lacksCapacity():
		return capacity("text_capacity")
	case throttled:
		return a.promoted(rateLimited("throttling", events.ScopeModel), events.ScopeModel)
	}
	if v := a.byException(name); !v.none() {
		return v
	}
	return generalJudge(a)
}

func amazonQJudge(a *answer) verdict {
	name := a.exception()
	reason := asciiLower(a.problem.field("reason").string())
	a.problem.reason = a.problem.field("reason").string()
	switch {
	case strings.HasSuffix(reason, "monthly_request_count"), strings.HasPrefix(reason, "overage_"), a.says("reached for this month", "monthly_request_count"):
		return quota("monthly", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowMonthly)
	case strings.HasSuffix(reason, "daily_request_count"):
		return quota("daily", events.ScopeAccount).because(events.ReasonQuotaNamed).over(events.WindowDaily)
	case reason == "insufficient_model_capacity":
		return capacity("model_capacity")
	case reason == "temporarily_suspended", a.status == 403 && a.says("suspended"):
		return forbidden("suspended", events.ReasonBanned)
	case a.status == 403 && a.says("bearer token", "security token", "token is invalid", "expired"):
		return auth("bearer_token")
	case a.status != 400 && a.lacksCapacity():
		return capacity("text_capacity")
	case strings.HasPrefix(name, "throttling"), name == "toomanyrequestsexception", a.status == 429:
		return a.promoted(rateLimited("throttling", events.ScopeAccount), events.ScopeAccount)
	case name == "servicequotaexceededexception":
		return quota("service_quota", events.ScopeAccount).because(events.ReasonQuotaNamed).over(a.window())
	}
	if v := a.byException(name); !v.none() {
		return v
	}
	return generalJudge(a)
}
